"""A file like Zh.QA's, as large as asked for, and what normalising it takes: `python -m tests.published.large <file>`.

Prints {"before_mb", "peak_mb", "sessions"}: the memory of this process before it began, and at its peak.
"""

import json
import random
import re
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from scbench import published
from scbench.sessions import iter_sessions, write_sessions
from tests.published.made import SCHEMAS

ROWS = 35
SKEW = 4  # the longest row over the mean, as published


def write(path: Path, megabytes: float) -> None:
    """ROWS rows in one row group, as the hub's files are, together `megabytes` of UTF-8 that hardly compresses."""
    rng = random.Random(0)
    alphabet = [chr(0x4E00 + number) for number in range(3000)]
    shares = [1.0] * (ROWS - 1) + [float(SKEW)]
    rows = []
    for number, share in enumerate(shares):
        characters = int(megabytes * 1e6 / 3 * share / sum(shares))
        piece = "".join(rng.choices(alphabet, k=min(characters, 50_000)))
        context = (piece * (characters // len(piece) + 1))[:characters]
        turns = [{"input": f"问题{turn}？", "answer": "答案"} for turn in range(5)]
        rows.append({"context": context, "id": number, "multi_turns": turns})
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(SCHEMAS["zh_qa"])), path, row_group_size=ROWS)


def peak() -> float:
    """The most memory this process has had, in MB; `getrusage` would count that of the process it was forked from."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 / 1e6


def main(source: str) -> None:
    before = peak()
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "zh_qa.parquet"
        write_sessions(out, published.sessions("zh_qa", source, turns=5))
        count = sum(1 for _ in iter_sessions(out))
    print(json.dumps({"before_mb": before, "peak_mb": peak(), "sessions": count}))


if __name__ == "__main__":
    main(sys.argv[1])
