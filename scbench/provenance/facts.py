"""What a reader wants to know of a whole lineage: models, code, libraries, machines, seeds, hours."""

from collections.abc import Iterable
from typing import Any

from scbench.provenance.audit import Report
from scbench.provenance.checks import computed_locks
from scbench.provenance.graph import mapping


def facts(report: Report) -> dict[str, Any]:
    """The facts by name. Lists hold each value once: more than one is what MIXED is about."""
    nodes = list(report.graph.values())
    recorded = [node for node in nodes if node.sidecar]
    cells = [node for node in recorded if node.kind == "cells"]
    fields = [mapping(node.identity, "fields") for node in cells]
    computed = [mapping(node.observation, "computed") for node in cells]
    seen = [node.observation for node in recorded]
    devices = _distinct(device for of in computed for device in _list(of.get("device")))
    return {
        "models": {
            str(node.facts.get("name")): {
                "revision": node.facts.get("revision"),
                "files": {path.rpartition("/")[2]: sha for path, sha in sorted(node.expected.items())},
            }
            for node in nodes
            if node.kind == "models"
        },
        "code": _distinct(mapping(of, "code").get("core") for of in fields),
        "libraries": _distinct(mapping(of, "libraries") for of in fields),
        "machines": _distinct(mapping(of, "machine") for of in fields),
        "processors": _distinct(mapping(node.observation, "hardware").get("cpu") for node in cells),
        "gpus": _distinct(gpu for node in cells for gpu in _list(mapping(node.observation, "hardware").get("gpus"))),
        "dtype": _distinct(of.get("dtype") for of in fields),
        "seeds": _distinct(mapping(node.identity, "data").get("seed") for node in recorded),
        "python": _distinct(node.sidecar["versions"].get("python") for node in recorded),
        "locks": _distinct(lock for node in recorded for lock in _list(computed_locks(node))),
        "environments": _distinct(of.get("environment") for of in seen),
        "commits": _distinct(mapping(of, "commit").get("sha") for of in seen),
        "hosts": _distinct(of.get("host") for of in seen),
        "slurm_jobs": _distinct(mapping(of, "slurm").get("SLURM_JOB_ID") for of in seen),
        "hours": round(sum(_number(of, "prompt_seconds") + _number(of, "decode_seconds") for of in computed) / 3600, 4),
        "hours_of": "GPU" if "cuda" in devices else "CPU",
        "turns": sum(_number(of, "of") for of in computed),
        "turns_timed": sum(_number(of, "turns") for of in computed),
        "cells": len(cells),
        "sessions": sum(node.kind == "sessions" for node in nodes),
    }


def _distinct(values: Iterable[Any]) -> list[Any]:
    """Each value once, in order of appearance; what is absent left out."""
    found: list[Any] = []
    for value in values:
        if value not in (None, {}) and value not in found:
            found.append(value)
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(of: dict[str, Any], name: str) -> float:
    value = of.get(name)
    return value if isinstance(value, int | float) else 0
