"""Fetches the pinned files of a model: `python -m scripts.fetch_model --name llama_3_1_8b [--config ...] [--pin]`.

`--pin` takes the newest commit instead, and writes it and the sha256 of its files into resources/models.lock.yaml.
"""

import argparse
from collections.abc import Sequence

from scbench.canonical import write_atomically
from scbench.modelhub import fetch_model, pin_model, written
from scbench.models import LOCK, read_models
from scbench.schema import unknown
from scbench.store import writing
from scbench.study import read_study
from scripts import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, help="name in resources/models.lock.yaml")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--mirror", help="directory with <model>/<file> in it")
    place.add_argument("--config", help="study file that names the mirror, as resolved by the workflow or as written")
    parser.add_argument("--pin", action="store_true", help="pin what is there now")
    options = parser.parse_args(arguments)

    models = read_models()
    if options.name not in models:
        raise unknown(LOCK.name, "--name", options.name, models)
    model = models[options.name]
    mirror = read_study(options.config).data.mirror if options.config else options.mirror
    if options.pin:
        commit, files = pin_model(model, mirror)
        with writing(LOCK):
            write_atomically(LOCK, written(LOCK.read_text(encoding="utf-8"), model.name, commit, files))
        print(f"{LOCK}: {model.name} pinned at {commit or f'the files of {mirror}'}, {len(files)} files")
    else:
        print(*fetch_model(model, mirror), sep="\n")


if __name__ == "__main__":
    run(main)
