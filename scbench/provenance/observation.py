"""What is seen of a run and decides nothing: when, where, by which command, from which commit and environment.

It never enters a lineage or a key. The standard library alone reads it, so that recording costs a job milliseconds.
"""

import hashlib
import os
import platform
import resource
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from scbench.canonical import canonical_json, digest_file, digest_value, write_atomically
from scbench.places import ROOT
from scbench.versions import version

LOCK = "requirements.lock"
# What a commit has to hold for its number to say which code ran.
CODE = ("Snakefile", "rules", "scripts", "scbench", "kernels", "resources", LOCK)
ENVIRONMENTS = Path("results/provenance/environments")
SLURM = ("SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "SLURM_JOB_PARTITION", "SLURM_JOB_NODELIST", "SLURM_RESTART_COUNT")

_STARTED = time.time()


def observe() -> dict[str, Any]:
    """This process: command, times (UTC), host, hardware, SLURM job, commit, installed versions, the lock's digest.

    `peak_bytes` is the largest resident memory of the process so far. What is not known here is None.
    """
    now = time.time()
    return {
        "command": " ".join(sys.orig_argv[1:]),
        "started": _utc(_STARTED),
        "finished": _utc(now),
        "seconds": round(now - _STARTED, 3),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "host": socket.gethostname(),
        "hardware": hardware(),
        "slurm": {name: os.environ[name] for name in SLURM if name in os.environ} or None,
        "commit": commit(),
        "environment": digest_value(environment()),
        "lock": lock_digest(),
        "snakemake": version("snakemake"),
    }


def hardware() -> dict[str, Any]:
    """Processor, GPUs by name, their driver, and the CUDA that PyTorch was built with where a job has loaded it."""
    torch = sys.modules.get("torch")
    driver = _text("/proc/driver/nvidia/version").partition("\n")[0]
    gpus = [_line(path, "Model") for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))]
    return {
        "cpu": _line(Path("/proc/cpuinfo"), "model name") or platform.processor() or None,
        "gpus": gpus,
        "driver": driver or None,
        "cuda": getattr(getattr(torch, "version", None), "cuda", None),
    }


@lru_cache(maxsize=1)
def commit() -> dict[str, Any] | None:
    """{sha, dirty, diff} of the repository; `diff` is the sha256 of what differs. None where there is no git."""
    try:
        top, sha = _git("rev-parse", "--show-toplevel", "HEAD").decode().split("\n")[:2]
        if Path(top).resolve() != ROOT:
            return None  # a copy that lies in someone else's repository
        there = [name for name in CODE if (ROOT / name).exists()]
        status = _git("status", "--porcelain", "--", *there)
        diff = hashlib.sha256(_git("diff", "HEAD", "--no-ext-diff", "--", *there)).hexdigest() if status else None
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return {"sha": sha, "dirty": bool(status), "diff": diff}


@lru_cache(maxsize=1)
def environment() -> dict[str, Any]:
    """Python and every distribution that is installed beside it, as its directory names it: `torch-2.13.0`."""
    found = {path.stem for place in sys.path for path in Path(place or ".").glob("*.dist-info")}
    return {"python": platform.python_version(), "distributions": sorted(found)}


@lru_cache(maxsize=1)
def lock_digest() -> str | None:
    """sha256 of the whole lock file; None where there is none."""
    path = ROOT / LOCK
    return digest_file(path) if path.is_file() else None


def keep_environment() -> None:
    """Write the environment's list under its digest, once, so that sidecars need to name the digest alone."""
    path = ENVIRONMENTS / f"{digest_value(environment())}.json"
    if not path.is_file():
        write_atomically(path, canonical_json(environment()) + "\n")


def _git(*arguments: str) -> bytes:
    # Jobs ask at the same time, and none of them has anything to write.
    command = ["git", "--no-optional-locks", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _line(path: Path, name: str) -> str | None:
    """The value of the first line `name: value`."""
    for line in _text(path).splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None
