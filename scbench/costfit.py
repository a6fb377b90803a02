"""What a finished run says about costs: the `seconds` of resources/models.lock.yaml by what was observed.

Prefill by full attention's first prompts, decoding by all answers, loading by the jobs that loaded. Observations lie
beside the results and decide none of them; the fit sizes the next run's jobs.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from scbench import places
from scbench.errors import UserError
from scbench.models import Model, Seconds
from scbench.provenance import sidecar_path
from scbench.study import ITSELF, Study

DIGITS = 3  # significant ones; more would promise what the next machine does not keep


def fit(study: Study) -> dict[str, Seconds]:
    """Model -> its costs as the runs of `study` in this working directory observed them.

    A model of which something was not observed is left out. Raises UserError where nothing was at all.
    """
    observed = list(_lines(Path(places.observations_directory(study.name)), "*.jsonl"))
    if not observed:
        raise UserError(
            f"{places.observations_directory(study.name)}: holds no observations; run {study.name} on this machine or "
            "cluster first"
        )
    results = {_turn(result): result for result in _lines(Path("results", study.name, "cells"), "**/*.jsonl")}
    fitted = {}
    for model in study.models:
        full = {row.label for row in study.rows(model) if row.method == ITSELF and row.with_context}
        pairs = [
            (seen, results[_turn(seen)]) for seen in observed if seen["model"] == model.name and _turn(seen) in results
        ]
        prefills = [
            1000 * seen["prompt_seconds"] / result["prompt_tokens"]
            for seen, result in pairs
            if seen["method"] in full
            and seen["turn"] == 1
            and seen["mode"] == study.modes[0]
            and result["prompt_tokens"]
        ]
        tokens = sum(result["new_tokens"] + 1 for _, result in pairs)  # the end token is decoded, too
        loads = list(_loads(study, model))
        if prefills and tokens and loads:
            decode = sum(seen["decode_seconds"] for seen, _ in pairs) / tokens
            fitted[model.name] = Seconds(_round(median(loads)), _round(median(prefills)), _round(decode), "measured")
    return fitted


def rewrite(lock: str, fitted: Mapping[str, Seconds]) -> str:
    """The text of the lock with these costs; everything else, comments too, stays."""
    for name, seconds in fitted.items():
        values = f"load: {seconds.load:g}, prefill_1k: {seconds.prefill_1k:g}, decode: {seconds.decode:g}"
        block = rf"(?ms)^({re.escape(name)}:\n(?:(?!^\S).*?\n)*?  seconds: )\{{[^}}]*\}}"
        lock, count = re.subn(block, rf"\g<1>{{{values}, basis: {seconds.basis}}}", lock, count=1)
        if not count:
            raise UserError(
                f"resources/models.lock.yaml: {name}: has no line `seconds: {{...}}` to write the costs into"
            )
    return lock


def _loads(study: Study, model: Model) -> Iterator[float]:
    """Seconds that each job of `model` which loaded it took for that, once a job."""
    by_job: dict[tuple, float] = defaultdict(float)
    for part in Path("results", study.name, "cells", model.name).rglob("*.jsonl"):
        try:
            record = json.loads(sidecar_path(part).read_text(encoding="utf-8"))["observation"]
            by_job[record["host"], record["started"]] = max(
                record["load_seconds"], by_job[record["host"], record["started"]]
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue  # nothing was loaded, or nothing is known of it
    return (seconds for seconds in by_job.values() if seconds)


def _lines(directory: Path, pattern: str) -> Iterator[dict[str, Any]]:
    for path in sorted(directory.glob(pattern)):
        for line in path.read_text(encoding="utf-8").split("\n"):
            try:
                yield json.loads(line)
            except ValueError:
                continue  # a kill tore the line


def _turn(line: Mapping[str, Any]) -> tuple:
    return tuple(line[name] for name in ("model", "method", "task", "mode", "session", "turn"))


def _round(seconds: float) -> float:
    return float(f"{seconds:.{DIGITS}g}")
