"""Writes envs/ from the locks, for `--sdm conda` and for Apptainer: `python -m scripts.make_envs`.

`--check` writes nothing and fails where a file is not what its lock says.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from scbench.canonical import digest_file, write_atomically
from scbench.errors import UserError
from scbench.places import ROOT
from scripts import run

PYTHON = "3.11"  # what the locks were made with
MADE = "# Made by `python -m scripts.make_envs`; edit the lock instead."
CPU_INDEX = "https://download.pytorch.org/whl/cpu"

CONDA = """\
{made}
# {about}
channels:
  - conda-forge
dependencies:
  - python={python}
  - pip
  - pip:
{pins}
"""

APPTAINER = """\
{made}
# Build: apptainer build envs/scbench.sif envs/scbench.def
# Use: snakemake --profile slurm --sdm apptainer --apptainer-args '--nv' ... ; --nv shows the GPUs inside.
Bootstrap: docker
From: python:{python}-slim

%labels
    requirements.lock.sha256 {digest}

%post
    apt-get update && apt-get install --yes --no-install-recommends git gcc libc6-dev && rm -rf /var/lib/apt/lists/*
    cat > /opt/requirements.lock <<'END'
{pins}
END
    pip install --no-cache-dir --requirement /opt/requirements.lock

%environment
    export PYTHONNOUSERSITE=1
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare alone")
    options = parser.parse_args(arguments)
    for path, text in environments(ROOT):
        if not options.check:
            write_atomically(path, text)
            print(path.relative_to(ROOT))
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            raise UserError(f"{path.relative_to(ROOT)}: is not what its lock says; run `python -m scripts.make_envs`")


def environments(root: Path) -> Iterator[tuple[Path, str]]:
    """Each file below envs/ with what it must hold by the locks in `root`."""
    lock = root / "requirements.lock"
    about = "All rules on machines without a GPU; PyTorch's own index has a build without CUDA."
    yield root / "envs" / "cpu.yaml", _conda(lock, about, [f"--extra-index-url {CPU_INDEX}"])
    yield root / "envs" / "gpu.yaml", _conda(lock, "Rules that need a GPU; the torch wheel brings CUDA with it.", [])
    pins = "\n".join(_pins(lock))
    text = APPTAINER.format(made=MADE, python=PYTHON, digest=digest_file(lock), pins=pins)
    yield root / "envs" / "scbench.def", text
    vllm = root / "requirements-vllm.lock"
    if vllm.is_file():
        yield root / "envs" / "vllm.yaml", _conda(vllm, "The engine vllm, which needs versions of its own.", [])


def _conda(lock: Path, about: str, options: Sequence[str]) -> str:
    pins = "\n".join(f"      - {pin}" for pin in (*options, *_pins(lock)))
    return CONDA.format(made=MADE, about=about, python=PYTHON, pins=pins)


def _pins(lock: Path) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in lock.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


if __name__ == "__main__":
    run(main)
