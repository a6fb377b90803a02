"""The tables and figures by name: what each is made of, which files it becomes, and the module that makes it.

Snakemake reads this registry while it parses the workflow, so that nothing here imports pandas or matplotlib. The
module of an artifact is named after it and offers two functions:

    frame(source, board) -> pandas.DataFrame   every number shown, in both scoring profiles, unrounded
    write(frame, board, stamp, out) -> list[Path]   the files, one per suffix, written atomically and byte-identical
                                                    for the same frame and stamp

where `source` is a frame of scored turns (needs "scores"), of these with the answers themselves (needs "answers"), one
for each history (needs "histories"), one with what was asked anew (needs "asked"), one of the study's sessions (needs
"sessions") or what the registries state (needs "registry").
"""

import difflib
import importlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from scbench import codedigest
from scbench.canonical import digest_file, digest_value
from scbench.errors import UserError
from scbench.places import ROOT

TEMPLATES = ROOT / "resources" / "templates"
MEASUREMENTS = ROOT / "resources" / "measurements"

_READERS = {
    "scores": "scored",
    "answers": "answered",
    "histories": "histories",
    "asked": "asked",
    "sessions": "sized",
    "attention": "watched",
    "registry": "registered",
}
# What an artifact's source goes through outside this package.
_STEPS = {
    "scores": ("scbench.intervals", "scbench.stats"),
    "answers": (),
    "histories": ("scbench.intervals", "scbench.stats"),
    "asked": ("scbench.intervals", "scbench.quirks", "scbench.stats"),
    "sessions": ("scbench.prompts", "scbench.published.counts", "scbench.sessions"),
    "attention": ("scbench.attention",),
    "registry": (),
}
_LIBRARIES = {
    "scores": ("pyarrow",),
    "answers": ("pyarrow",),
    "histories": ("pyarrow",),
    "asked": ("pyarrow", "scipy"),
    "sessions": ("pyarrow", "tokenizers"),
    "attention": (),
    "registry": (),
}
_SUFFIXES = {"table": (".tex", ".csv"), "figure": (".pdf", ".png", ".csv"), "report": (".md", ".json")}
_DRAWN = {"table": ("jinja2",), "figure": ("matplotlib",), "report": ()}
# What computes the masks of methods with a fixed pattern.
_MASKS = (
    "scbench.kv.banded",
    "scbench.kv.dense",
    "scbench.kv.hooks",
    "scbench.methods.full",
    "scbench.methods.generation.a_shape",
    "scbench.methods.generation.tri_shape",
    "scbench.methods.sink_window",
)


def measured(what: str = "kernels") -> list[str]:
    """The files of `MEASUREMENTS` that say what `what` costs: `kernels`, one a device, or `latency`, of a study."""
    return sorted(path.name for path in MEASUREMENTS.glob(f"{what}-*.yaml"))


def _measurements(what: str) -> tuple[str, ...]:
    return tuple(f"measurements/{name}" for name in measured(what))


def measurement_file(what: str, device: str) -> Path:
    """Where what was measured of `what` on `device` is kept."""
    return MEASUREMENTS / f"{what}-{re.sub('[^a-z0-9]+', '-', device.lower()).strip('-')}.yaml"


@dataclass(frozen=True)
class Artifact:
    """One table or figure of the paper, or a report: words for a reader and the same for a program.

    needs: `scores`, the scored turns of every row, task and mode of the study; `answers`, these with what was answered;
        `histories`, those of `study.history_rows` and of the study's twin; `asked`, all scored turns and those of
        `study.quirk_twins`; `sessions`, its session files;
        `attention`, what its first model attends to in one of them; `registry`, nothing but what the methods and the
        study state.
    values: files below resources/ with numbers of others that it shows.
    layout: the template that its own extends, without `.tex.j2`.
    steps: further modules that compute what it shows.
    """

    name: str
    kind: Literal["table", "figure", "report"]
    needs: Literal["scores", "answers", "histories", "asked", "sessions", "attention", "registry"]
    values: tuple[str, ...] = ()
    layout: str = ""
    steps: tuple[str, ...] = ()

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What is written, the main file first; the .csv or .json twin holds the same numbers."""
        return _SUFFIXES[self.kind]

    @property
    def module(self) -> str:
        """Dotted name of the module that makes it."""
        return f"{__name__}.{self.name}"

    def load(self) -> ModuleType:
        """The module, imported now."""
        return importlib.import_module(self.module)

    @property
    def reader(self) -> str:
        """Dotted name of the module that reads its source."""
        return f"{__name__}.{_READERS[self.needs]}"

    @property
    def libraries(self) -> tuple[str, ...]:
        """The distributions that it is made with."""
        computed = ("torch",) if self.steps else ()
        return (*_DRAWN[self.kind], "numpy", "pandas", *_LIBRARIES[self.needs], *computed)

    def code_digest(self) -> str:
        """sha256 over what turns scores or sessions into the artifact (`code`)."""
        return digest_value(self.code())

    def code(self) -> dict[str, Any]:
        """The digests of the artifact's modules, its templates and the values of others that it shows.

        Builders, methods and metrics are left out: they show in the bytes of the sessions and scores.
        """
        modules = _reached((self.module, self.reader), _STEPS[self.needs]) | set(self.steps)
        named = ("table", self.layout, self.name) if self.kind == "table" else ()
        templates = [f"{name}.tex.j2" for name in named if name]
        return {
            "modules": codedigest.digest(modules),
            "templates": {name: digest_file(TEMPLATES / name) for name in templates},
            "values": {name: digest_file(ROOT / "resources" / name) for name in self.values},
        }

    def files(self, out: str | Path) -> list[Path]:
        """The files beside `out`, whose own suffix must be one of `suffixes`. Raises UserError otherwise."""
        out = Path(out)
        if out.suffix not in self.suffixes:
            raise UserError(
                f"--out {out}: {self.name} is written as {', '.join(self.suffixes)}; name one of these files"
            )
        return [out.with_suffix(suffix) for suffix in self.suffixes]


ARTIFACTS: dict[str, Artifact] = {
    artifact.name: artifact
    for artifact in (
        Artifact("table1", kind="table", needs="registry"),
        Artifact("table2", kind="table", needs="sessions", values=("published/counts.csv",)),
        Artifact("table3", kind="table", needs="sessions"),
        Artifact("table4", kind="table", needs="scores", layout="categories"),
        Artifact("table5", kind="table", needs="scores"),
        Artifact("table6", kind="table", needs="registry", values=("published/benchmarks.csv",)),
        Artifact("table7", kind="table", needs="scores", layout="questions"),
        Artifact("table8", kind="table", needs="scores", layout="questions"),
        Artifact("table9", kind="table", needs="registry"),
        Artifact("table10", kind="table", needs="scores", layout="categories"),
        Artifact("table11", kind="table", needs="scores", layout="tasks"),
        Artifact("table12", kind="table", needs="scores", layout="tasks"),
        Artifact("table13", kind="table", needs="histories"),
        Artifact("table14", kind="table", needs="answers", layout="cases"),
        Artifact("table15", kind="table", needs="answers", layout="cases"),
        Artifact("table16", kind="table", needs="answers", layout="cases"),
        Artifact("table17", kind="table", needs="answers", layout="cases"),
        Artifact("figure1", kind="figure", needs="registry"),
        Artifact("figure2", kind="figure", needs="sessions"),
        Artifact("figure3", kind="figure", needs="scores"),
        Artifact("figure4", kind="figure", needs="scores"),
        Artifact("figure5", kind="figure", needs="registry", steps=_MASKS),
        Artifact("figure6", kind="figure", needs="attention"),
        Artifact("figure7", kind="figure", needs="scores"),
        Artifact("figure8", kind="figure", needs="scores"),
        Artifact("figure9", kind="figure", needs="scores"),
        Artifact("figure10", kind="figure", needs="scores"),
        Artifact("kernels", kind="figure", needs="registry", values=_measurements("kernels")),
        Artifact("latency", kind="table", needs="registry", values=_measurements("latency")),
        Artifact("claims", kind="report", needs="scores"),
        Artifact("budgets", kind="table", needs="scores"),
        Artifact("pareto", kind="figure", needs="scores", values=_measurements("latency")),
        Artifact("published", kind="table", needs="scores", values=("published/categories.csv",)),
        Artifact("defects", kind="table", needs="asked"),
    )
}


def _reached(modules: Iterable[str], others: tuple[str, ...]) -> set[str]:
    """`modules` and what they import, directly or not, of this package and of `others`."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found and (name.startswith(f"{__name__}.") or name in others):
            found.add(name)
            waiting.extend(_imports(name))
    return found


# Snakemake asks for every artifact's digest at every parse, and they share most modules.
_imports = cache(codedigest.imports)


def artifact(name: str, kind: str | None = None) -> Artifact:
    """The artifact of that name (and kind). Raises UserError naming what there is."""
    names = [found.name for found in ARTIFACTS.values() if kind in (None, found.kind)]
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UserError(f"--name {name}: there is no such {kind or 'artifact'}; {hint}there are {', '.join(names)}")
    return ARTIFACTS[name]
