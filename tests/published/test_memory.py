"""A file of any size is normalised in bounded memory."""

import json
import subprocess
import sys
from pathlib import Path

from scbench.places import ROOT
from tests.published.large import write

ZH_QA_MB = 180.4  # of text, in the published file
LIMIT_MB = 2**30 / 1e6


def peak_mb(path: Path) -> float:
    """The peak memory of a process that normalises `path` and reads the sessions back."""
    command = [sys.executable, "-m", "tests.published.large", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout)
    assert measured["sessions"] == 35
    return measured["peak_mb"]


def test_a_file_as_large_as_the_largest_published_one_takes_less_than_a_gibibyte(tmp_path: Path):
    """Two small files tell what a megabyte more costs."""
    sizes = (24, 72)  # below that, what is there at any size still grows
    peaks = []
    for size in sizes:
        write(tmp_path / f"{size}.parquet", size)
        peaks.append(peak_mb(tmp_path / f"{size}.parquet"))
    slope = (peaks[1] - peaks[0]) / (sizes[1] - sizes[0])
    assert peaks[1] + slope * (ZH_QA_MB - sizes[1]) <= LIMIT_MB
