"""Draw a figure: `python -m scripts.make_figure --name figure3 --config ... --scores ... --out .../figure3.pdf`."""

import argparse
import atexit
import gc
from collections.abc import Sequence
from pathlib import Path

from scbench.artifacts.making import make
from scbench.provenance import short_digest
from scripts import run


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Draw a figure (.pdf, .png, .csv) with its provenance.")
    parser.add_argument("--name", required=True, help="the figure, e.g. figure3")
    parser.add_argument("--config", type=Path, required=True, help="the resolved study, results/<study>/study.json")
    parser.add_argument("--scores", type=Path, nargs="*", default=[], help="score files, for a figure of scores")
    parser.add_argument("--sessions", type=Path, nargs="*", default=[], help="session files, for a figure of the data")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json of the first model, for a figure of the data")
    parser.add_argument("--attention", type=Path, help="what scripts.record_attention wrote, for a figure of attention")
    parser.add_argument("--out", type=Path, required=True, help="one of the files to write; the others stand beside it")
    options = parser.parse_args(arguments)
    written = make(
        options.name,
        "figure",
        options.config,
        options.out,
        scores=options.scores,
        sessions=options.sessions,
        tokenizer=options.tokenizer,
        attention=options.attention,
    )
    for path in written:
        print(f"{path}  {short_digest(path)}")


if __name__ == "__main__":
    # It takes seconds: looking for garbage, also at the end among all that was imported, is half a second of them.
    gc.disable()
    atexit.register(gc.freeze)
    run(main)
