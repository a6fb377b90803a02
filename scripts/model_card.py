"""Write the card of a model that was trained here: what it is, how it was made, what it reached, what methods do to it.

`python -m scripts.model_card --model minilm --report .../training.json --device "an AMD EPYC"
--config results/card/study.json --scores results/card/scores/minilm/*.parquet
--effects results/effects/study.json --effect-scores results/effects/scores/minilm/*.parquet
--out resources/minilm/README.md`, where the first scores are of studies with full attention and the floor, one study a
length (studies/card.yaml), and the others of studies/effects.yaml.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import jinja2
import pandas as pd

from scbench.artifacts.card import accuracy, effects
from scbench.canonical import write_atomically
from scbench.errors import UserError
from scbench.models import read_models
from scbench.places import ROOT
from scbench.study import read_study
from scripts import run

TEMPLATES = ROOT / "resources" / "templates"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="its name in resources/models.lock.yaml")
    parser.add_argument("--report", type=Path, required=True, help="the trainer's report, training.json")
    parser.add_argument("--config", type=Path, nargs="+", required=True, help="the studies, results/<study>/study.json")
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="their score files of this model")
    parser.add_argument("--effects", type=Path, help="the study of the paper's effects, results/<study>/study.json")
    parser.add_argument("--effect-scores", type=Path, nargs="+", help="its score files of this model")
    parser.add_argument("--device", required=True, help="processor that the training ran on, in words")
    parser.add_argument("--data", default="what an `eval` session is about never occurs", help="what was held out")
    parser.add_argument("--speed", default="", help="prefill and decode speed and where it was measured, in words")
    parser.add_argument("--remarks", type=Path, help="Markdown that ends the card")
    parser.add_argument("--out", type=Path, required=True, help="the card to write")
    options = parser.parse_args(arguments)
    if bool(options.effects) != bool(options.effect_scores):
        parser.error("--effects and --effect-scores go together, the study and its score files; give both or neither")

    model = read_models()[options.model]
    scores = _scores(options.scores)
    studies = sorted(map(read_study, options.config), key=lambda study: -(study.data.tokens or 0))
    if sizeless := [study.name for study in studies if study.data.tokens is None]:
        raise UserError(
            f"--config: {sizeless[0]} states no data.tokens, which a card's heading names; give a mini study"
        )
    lengths = [accuracy(study, options.model, scores) for study in studies]
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
        effects=effects(read_study(options.effects), options.model, _scores(options.effect_scores))
        if options.effects
        else None,
        remarks=options.remarks.read_text(encoding="utf-8") if options.remarks else "",
    )
    write_atomically(options.out, card)


def _scores(files: Sequence[Path]) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(path) for path in files], ignore_index=True)


if __name__ == "__main__":
    run(main)
