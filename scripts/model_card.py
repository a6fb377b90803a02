"""Write the card of a model that was trained here: what it is, how it was made, what it reached.

`python -m scripts.model_card --model minilm --report .../training.json --config results/card/study.json ... --scores
results/card/scores/minilm/*.parquet ... --device "an AMD EPYC"
--out resources/minilm/README.md`, where the scores are of studies with full
attention and the floor, one study a length (studies/card.yaml).
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from scbench import stats
from scbench.canonical import write_atomically
from scbench.errors import UserError
from scbench.models import read_models
from scbench.places import ROOT
from scbench.study import FLOOR, ITSELF, Study, read_study
from scripts import run

TEMPLATES = ROOT / "resources" / "templates"
BOOTSTRAP = stats.Bootstrap()


def length(study: Study, scores: pd.DataFrame) -> dict[str, Any]:
    """The rows and categories of one study: full attention by part of a task, its interval, its turns, the floor."""
    scores = scores[(scores["study"] == study.name) & (scores["mode"] == "multi_turn")]
    if not {ITSELF, FLOOR} <= set(scores["method"]):
        raise UserError(f"--scores: study {study.name} lacks rows of {ITSELF} or {FLOOR}; give both score files")
    parts = ["task", "subtask"]
    means = stats.turn_means(scores, "strict", BOOTSTRAP).score.droplevel(["study", "model", "mode"])
    full, floor = means.xs(ITSELF, level="method"), means.xs(FLOOR, level="method")
    floors = floor[0].groupby(parts).mean()
    rows = []
    for row in stats.summarise(full.groupby(level=parts, sort=False).mean(), BOOTSTRAP).itertuples():
        turns = full[0].xs((row.task, row.subtask), level=parts)
        name = row.task if row.task == row.subtask else f"{row.task}: {row.subtask}"
        rows.append(
            {
                "task": name,
                "score": row.score,
                "low": row.low,
                "high": row.high,
                "turns": [f"{value:.0f}" for value in turns],
                "floor": floors.get((row.task, row.subtask)),
            }
        )
    whole = scores[scores["method"] == ITSELF]
    categories = stats.per_category(whole)[["category", "score"]].itertuples(index=False, name=None)
    average = ("average", stats.average(whole)["score"].item())
    return {"tokens": study.data.tokens, "rows": rows, "categories": [*categories, average]}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="its name in resources/models.lock.yaml")
    parser.add_argument("--report", type=Path, required=True, help="the trainer's report, training.json")
    parser.add_argument("--config", type=Path, nargs="+", required=True, help="the studies, results/<study>/study.json")
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="their score files of this model")
    parser.add_argument("--device", required=True, help="processor that the training ran on, in words")
    parser.add_argument("--data", default="what an `eval` session is about never occurs", help="what was held out")
    parser.add_argument("--speed", default="", help="prefill and decode speed and where it was measured, in words")
    parser.add_argument("--remarks", type=Path, help="Markdown that ends the card")
    parser.add_argument("--out", type=Path, required=True, help="the card to write")
    options = parser.parse_args(arguments)

    model = read_models()[options.model]
    scores = pd.concat([pd.read_parquet(path) for path in options.scores], ignore_index=True)
    studies = sorted(map(read_study, options.config), key=lambda study: -(study.data.tokens or 0))
    lengths = [length(study, scores[scores["model"] == options.model]) for study in studies]
    for entry in lengths:
        entry["about"] = f"Context of {entry['tokens']:,} tokens"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    card = environment.get_template("model_card.md.j2").render(
        title=model.title,
        words="a bundled model",
        report=json.loads(options.report.read_text(encoding="utf-8")),
        config=json.loads((model.directory / "config.json").read_text(encoding="utf-8")),
        recipe=model.recipe,
        device=options.device,
        data=options.data,
        size=(model.directory / "model.safetensors").stat().st_size,
        speed=options.speed,
        sessions=", ".join(dict.fromkeys(str(study.data.sessions) for study in studies)),
        lengths=lengths,
        remarks=options.remarks.read_text(encoding="utf-8") if options.remarks else "",
    )
    write_atomically(options.out, card)


if __name__ == "__main__":
    run(main)
