"""A source of two files, one with a known sha256 and one without, and a server that has them."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from scbench.raw import lock
from scbench.raw.lock import File, Source
from tests.raw.server import Server, serving

KNOWN = random.Random(0).randbytes(3_000_000)
UNKNOWN = b'{"rows": []}'


@pytest.fixture
def of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """The source, in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    files = {
        "deep/known.bin": File(hashlib.sha256(KNOWN).hexdigest(), len(KNOWN)),
        "unknown.json": File(None, None),
    }
    made = Source("made", "Made", "https://nowhere.invalid/{revision}", "v1", "MIT", files)
    monkeypatch.setattr(lock, "read_sources", lambda: {"made": made})
    return made


@pytest.fixture
def server() -> Iterator[Server]:
    with serving({"made/deep/known.bin": KNOWN, "made/unknown.json": UNKNOWN}) as state:
        yield state
