"""What `scripts.measure_latency` wrote about a study, for the table of latencies and the figure of costs."""

from typing import Any

import pandas as pd
import yaml

from scbench.artifacts import MEASUREMENTS, measured
from scbench.artifacts.board import Board
from scbench.errors import UserError

COMMAND = "python -m scripts.measure_latency --config"
SPREADS = ("first_token_seconds", "next_token_seconds", "seconds_per_token", "seconds_per_turn")
BYTES = ("peak_bytes", "kv_bytes", "kv_bytes_dense")
ABOUT = ("model", "weights", "device", "date", "dtype", "attention", "memory")
COLUMNS = ("study", *ABOUT, "tokens", "turns", "repetitions", "method", "budget")
COLUMNS += (*(f"{name}{end}" for name in SPREADS for end in ("", "_low", "_high")), *BYTES, "wanted_bytes", "left_out")


def read_timed(board: Board) -> pd.DataFrame:
    """A row for each method that was measured of the study of `board`, model by model and device by device.

    SPREADS: medians in seconds, beside them the quartiles; missing where memory ran out (`wanted_bytes`) or the method
    was `left_out`. Raises UserError for a file that the command did not write.
    """
    rows: list[dict[str, Any]] = []
    for name in measured("latency"):
        try:
            found = yaml.safe_load((MEASUREMENTS / name).read_text(encoding="utf-8"))
            if found["study"] == board.study:
                about = {"study": found["study"]} | {key: found[key] for key in ABOUT}
                about |= {key: found["protocol"][key] for key in ("tokens", "turns", "repetitions")}
                rows += [about | _row(line) for line in found["methods"]]
        except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
            raise UserError(
                f"resources/measurements/{name}: not as the command writes it ({' '.join(str(error).split())}); "
                f"run {COMMAND} <study> again"
            ) from error
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(line: dict[str, Any]) -> dict[str, Any]:
    row = {"method": line["label"], "budget": line["budget"], "left_out": line.get("left_out")}
    if "date" in line:
        row["date"] = line["date"]  # of a line that was taken over from an earlier run, that run's
    if "left_out" in line:
        return row
    if "out_of_memory" in line:
        return row | line["out_of_memory"]
    for name in SPREADS:
        spread = line[name] or dict.fromkeys(("median", "low", "high"))
        row |= {name: spread["median"], f"{name}_low": spread["low"], f"{name}_high": spread["high"]}
    return row | {name: line[name] for name in BYTES}
