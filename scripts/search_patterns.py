"""Finds each head's sparse pattern: `python -m scripts.search_patterns --model minilm --tokens 1024 --out <json>`."""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from scbench import patternsearch
from scbench.canonical import write_atomically
from scbench.errors import UserError
from scbench.models import LOCK, Model, read_models
from scbench.provenance import record
from scbench.schema import unknown
from scbench.store import writing
from scripts import run
from scripts.build_sessions import token_counter


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help=f"name of a model in {LOCK.name}")
    parser.add_argument("--trained", action="store_true", help="its files are those that this workflow trained")
    parser.add_argument("--tokens", type=int, required=True, help="length of the context in tokens")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--out", required=True, help="the JSON file to write")
    options = parser.parse_args(arguments)

    known = read_models()
    if options.model not in known:
        raise unknown(LOCK.name, "--model", options.model, known)
    model = known[options.model].trained().found() if options.trained else known[options.model]
    search(model, options.tokens, options.out, threads=options.threads, device=options.device, dtype=options.dtype)


def search(model: Model, tokens: int, out: str | Path, **machine: str | int) -> None:
    """Write the patterns of `model` at `tokens` tokens, and their sidecar."""
    if model.engine != "transformers":
        raise UserError(
            f"--model {model.name}: engine {model.engine}, a model without attention in every layer, so that there are "
            "no heads to search; choose a model of engine transformers"
        )
    found = patternsearch.search(model, tokens, token_counter(model), **machine)
    with writing(out):
        write_atomically(out, json.dumps(found, indent=1) + "\n")
        record([out], [], patternsearch.fields(model, tokens), libraries=patternsearch.LIBRARIES)
    kinds = Counter(head["kind"] for layer in found["patterns"] for head in layer)
    print(f"{out}: {', '.join(f'{count} heads {kind}' for kind, count in kinds.most_common())}")


if __name__ == "__main__":
    run(main)
