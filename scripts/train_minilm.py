"""Train a bundled model: `python -m scripts.train_minilm --recipe ... --out ...`.

Two processes with one thread each take a little more than half the time of one. Threads help little, as matrices this
small leave a waiting thread idle most of the time; set OMP_WAIT_POLICY=PASSIVE where other work shares the cores, or it
spins.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from scbench.canonical import digest_file
from scbench.errors import UserError
from scbench.minilm.export import export
from scbench.minilm.recipe import Recipe, read_recipe
from scbench.minilm.tokenizer import build_tokenizer
from scbench.minilm.trainer import Trainer
from scbench.models import EXPORTED, REPORT
from scripts import run


def load_tokenizer(given: Path | None, own: Path, resume: bool) -> PreTrainedTokenizerFast:
    """The tokenizer in `given`; without it the run's own one in `own`, built unless a resumed run has it already."""
    if given is None and not (resume and (own / "tokenizer.json").is_file()):
        build_tokenizer(own)
    folder = given or own
    if not (folder / "tokenizer.json").is_file():
        raise UserError(f"--tokenizer {folder}: no tokenizer.json there; name the directory of a saved tokenizer")
    return PreTrainedTokenizerFast.from_pretrained(folder)


def usable_cores() -> int:
    """Cores that this process may run on, fewer than the machine's in a job that is bound to some of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_processes(given: int | None, recipe: Recipe, device: str) -> int:
    """How many processes share a step: as many as given; else one a core, and no more than a step has documents.

    Raises UserError for a number that is no number of processes, or that the device does not allow.
    """
    if given is not None and given < 1:
        raise UserError(f"--processes {given}: give 1 or more")
    if device != "cpu":
        if given is not None and given > 1:
            raise UserError(f"--processes {given}: several share a step on a CPU alone; leave it out on {device}")
        return 1
    return given or min(usable_cores(), *map(recipe.documents_per_step, recipe.stages))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train a small Llama on the mini tasks and export it.")
    parser.add_argument("--recipe", type=Path, required=True, help="YAML file: sizes, stages, seed")
    parser.add_argument("--tokenizer", type=Path, help="directory of a saved tokenizer; built from the tasks if absent")
    parser.add_argument("--seed", type=int, help="instead of the recipe's own")
    parser.add_argument("--out", type=Path, required=True, help="directory of the model")
    parser.add_argument("--training", type=Path, help="directory of the run (default: training/ in --out)")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint in --training, if there is one"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--processes",
        type=int,
        help="processes that share each step, on a CPU (default: one a core that may be used); another number, other"
        " weights, by rounding",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each process")
    parser.add_argument("--steps-limit", type=int, default=None, help="stop after this many steps in all, not exported")
    options = parser.parse_args(arguments)

    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no GPU here; use --device cpu")
    if options.threads < 1:
        raise UserError(f"--threads {options.threads}: give 1 or more")
    torch.set_num_threads(options.threads)
    recipe = read_recipe(options.recipe)
    if options.seed is not None:
        if options.seed < 0:
            raise UserError(f"--seed {options.seed}: give 0 or more; negative seeds are those of the held-out sessions")
        recipe = replace(recipe, seed=options.seed)
    processes = count_processes(options.processes, recipe, options.device)
    directory = options.training or options.out / "training"
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = load_tokenizer(options.tokenizer, directory / "tokenizer", options.resume)

    def say(line: str) -> None:
        print(line, flush=True)

    trainer = Trainer(recipe, tokenizer, directory, options.device, say, processes)
    if options.resume and trainer.checkpoint.exists():
        trainer.resume()
    if not trainer.run(options.steps_limit):
        print(f"stopped at the limit of {options.steps_limit} steps; go on with --resume")
        return 0
    difference = export(trainer.model, tokenizer, recipe.max_length, options.out)
    trainer.write_report(options.out / REPORT, {name: digest_file(options.out / name) for name in EXPORTED})
    print(f"{options.out}: exported, logits of transformers differ by at most {difference:.1e}")
    return 0


if __name__ == "__main__":
    run(main)
