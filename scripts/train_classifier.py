"""Train a token classifier for prompt compression: `python -m scripts.train_classifier --recipe ... --out ...`."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from scbench.canonical import write_atomically
from scbench.classifier.trainer import Trainer, check_recipe
from scbench.errors import UserError
from scbench.models import REPORT
from scbench.schema import read_yaml
from scbench.store import check_writable
from scripts import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, required=True, help="YAML file: sessions, sizes, seed")
    parser.add_argument("--out", type=Path, required=True, help="directory of the classifier")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    options = parser.parse_args(arguments)
    if options.threads < 1:
        raise UserError(f"--threads {options.threads}: give 1 or more")
    check_writable(options.out)
    torch.set_num_threads(options.threads)
    recipe = check_recipe(read_yaml(options.recipe), str(options.recipe))
    trainer = Trainer(recipe, say=lambda line: print(line, flush=True))
    report = trainer.run()
    trainer.export(options.out)
    write_atomically(options.out / REPORT, json.dumps(report, indent=1) + "\n")
    print(f"{options.out}: {report['parameters']:,} parameters, {report['seconds']['wall']} s")


if __name__ == "__main__":
    run(main)
