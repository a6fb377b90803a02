"""Refits the costs of models from a finished run: `python -m scripts.fit_costs --configfile my_study.yaml [--write]`.

The costs only size jobs. Without --write they are shown; with it they go into resources/models.lock.yaml.
"""

import argparse
from collections.abc import Sequence

from scbench.canonical import write_atomically
from scbench.costfit import fit, rewrite
from scbench.models import LOCK
from scbench.store import writing
from scbench.study import read_study
from scripts import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--configfile", "--config", default="config.yaml", metavar="STUDY", help="study file (default: config.yaml)"
    )
    parser.add_argument("--write", action="store_true", help="write the costs into resources/models.lock.yaml")
    options = parser.parse_args(arguments)

    study = read_study(options.configfile)
    fitted = fit(study)
    for model in study.models:
        if model.name not in fitted:
            print(f"{model.name}: its results, or the seconds of its jobs, are not all there; the costs stay")
            continue
        old, new = model.seconds, fitted[model.name]
        for name, unit in (("load", "s"), ("prefill_1k", "s for 1,000 tokens"), ("decode", "s a token")):
            print(f"{model.name}: {name} {getattr(old, name):g} -> {getattr(new, name):g} {unit}")
    if options.write:
        with writing(LOCK):
            write_atomically(LOCK, rewrite(LOCK.read_text(encoding="utf-8"), fitted))
        print(f"written to {LOCK}; the next plan cuts jobs by these costs")


if __name__ == "__main__":
    run(main)
