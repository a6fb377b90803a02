"""What has changed since: OUTDATED files are authentic, but today's code, settings or locks would make others.

Everything is compared by reading files: no study is parsed and no library imported, so that an audit needs neither.
"""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from scbench import codedigest
from scbench.canonical import digest_file
from scbench.places import ROOT, study_file
from scbench.provenance import manifest
from scbench.provenance.checks import some
from scbench.provenance.graph import Graph, Node, mapping
from scbench.provenance.manifest import leaves
from scbench.provenance.observation import LOCK
from scbench.provenance.project import Project, Unreadable
from scbench.provenance.settings import settings_digest
from scbench.provenance.sidecar import is_digest, short
from scbench.provenance.verdicts import Verdict

MODELS_LOCK = ROOT / "resources" / "models.lock.yaml"
TEMPLATES = ROOT / "resources" / "templates"


def check_current(project: Project, graph: Graph) -> None:
    """OUTDATED, with the field that says something else today, for every node of `graph`."""
    studies = _studies(project, graph)
    lock = _lock_pins()
    for node in graph.values():
        if node.kind == "models":
            _check_model(project, node)
        elif node.sidecar:
            for reason in (*_code(project, node), *_settings(project, node, studies), *_libraries(node, lock)):
                node.find(Verdict.OUTDATED, reason)


def _code(project: Project, node: Node) -> Iterator[str]:
    for place, value in node.decided:
        if not is_digest(value):
            continue
        if "code.templates." in f"{place}.":
            name = place.partition("templates.")[2]
            if Path(name).name != name or not (TEMPLATES / name).is_file() or digest_file(TEMPLATES / name) != value:
                yield f"{place}: the template {name} is another one today"
        elif re.search(r"(^|\.)(code|metrics)(\.|$)", place):
            kept = mapping(node.observation, "code").get(value)
            reason = _modules(project.root, value, kept) if is_digest(kept) else None
            if reason is None:
                node.notes.append(f"{place} {short(value)}: which modules that was is not on record here")
            elif reason:
                yield f"{place}: {reason}"


@lru_cache(maxsize=4096)
def _modules(root: Path, digest: str, kept: str) -> str | None:
    """What changed in the modules behind `digest`; empty for nothing, None where they are not known."""
    known = manifest.read(root, digest, kept)
    if known is None:
        return None
    files = codedigest.changed(known)
    return f"{some(files)} {'is another one' if len(files) == 1 else 'are others'} today" if files else ""


def _settings(project: Project, node: Node, studies: dict[str, dict[str, Any]]) -> Iterator[str]:
    if node.kind == "studies":
        yield from _study_files(project, node)
        return
    study = studies.get(node.path.split("/")[1]) if node.path.startswith("results/") else None
    if study is None:
        return
    identity = node.identity
    fields = mapping(identity, "fields")
    recorded: list[tuple[dict[str, Any], dict[str, Any], str]] = []
    if isinstance(identity.get("study"), dict):
        recorded.append((identity["study"], {name: value for name, value in study.items() if name != "execution"}, ""))
    if node.kind == "sessions":
        today = mapping(study, "data")
        # The digest of documents, which stands there too, is no setting.
        recorded.append(
            ({key: value for key, value in mapping(identity, "data").items() if key in today}, today, "data")
        )
    if node.kind == "cells" and fields:
        today = {"prompts": study.get("prompts"), "dtype": mapping(study, "execution").get("dtype")}
        recorded.append(({name: fields.get(name) for name in today}, today, ""))
        label = str(identity.get("label"))
        if method := mapping(study, "methods", label).get("method"):
            recorded.append(
                ({"method": mapping(fields, "method").get("method")}, {"method": method}, f"methods.{label}")
            )
    for then, now, where in recorded:
        yield from _differences(then, now, where)


def _differences(then: dict[str, Any], now: dict[str, Any], where: str) -> Iterator[str]:
    """Of the keys that are recorded: what each said then and says today."""
    for key in then:
        before, after = dict(leaves(then[key], key)), dict(leaves(now.get(key), key))
        for place in sorted({*before, *after}):
            if before.get(place) != after.get(place):
                name = ".".join(filter(None, (where, place)))
                yield f"{name} was {json.dumps(before.get(place))}, the study says {json.dumps(after.get(place))} today"


def _study_files(project: Project, node: Node) -> Iterator[str]:
    """Whether the files that the resolved study was read from say the same today."""
    for path, recorded in mapping(node.identity, "config").items():
        try:
            project.size(path)
        except Unreadable as error:
            node.notes.append(f"{path}, which the study was read from, {error} here")
            continue
        if settings_digest(project.place(path)) != recorded:
            yield f"{path} says something else today than when the workflow last ran"


def _studies(project: Project, graph: Graph) -> dict[str, dict[str, Any]]:
    """Name -> the resolved study of every study in the graph, as the last run left it."""
    found = {}
    for node in graph.values():
        if node.kind == "studies":
            try:
                found[node.path.split("/")[1]] = json.loads(project.place(node.path).read_bytes())
            except (OSError, ValueError, Unreadable, RecursionError):
                continue  # said where its bytes are checked
    return {name: study for name, study in found.items() if isinstance(study, dict)}


def study_of(path: str) -> str | None:
    """The resolved study that a result belongs to, as a path."""
    found = re.match(r"results/([^/]+)/(artifacts|scores|cells|sessions)/", path)
    return study_file(found[1]) if found else None


def _libraries(node: Node, pins: dict[str, str] | None) -> Iterator[str]:
    """Versions that decided a file and that today's lock pins otherwise. Nothing where the lock is the one of then."""
    if pins is None or pins.get("") == node.observation.get("lock"):
        return
    recorded = mapping(node.identity, "fields", "libraries") | node.sidecar["versions"]
    for name, value in sorted(recorded.items()):
        pinned = pins.get(_plain(name))
        if isinstance(value, str) and pinned and pinned != value.partition("+")[0]:
            yield f"{name} was {value}, {LOCK} pins {pinned} today"


def _lock_pins() -> dict[str, str] | None:
    """Name -> version of today's lock, and its own digest under the empty name; None where there is no lock."""
    path = ROOT / LOCK
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    found = re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;+]+)", text, re.MULTILINE)
    return {_plain(name): value for name, value in found} | {"": digest_file(path)}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _check_model(project: Project, node: Node) -> None:
    """Compare the files of a model with what its lock, or the report of its training, lists today."""
    path, name = str(node.facts.get("path")), node.facts.get("name")
    trained = path.startswith("results/")
    listed = _trained(project, path) if trained else _locked(str(name))
    where = f"{path}/training.json" if trained else MODELS_LOCK.name
    if listed is None:
        node.notes.append(f"{where} is not here, so that nothing says which files {name} has today")
        return
    for file, sha in node.expected.items():
        if listed.get(file.rpartition("/")[2], sha) != sha or file.rpartition("/")[2] not in listed:
            other = listed.get(file.rpartition("/")[2])
            node.findings = [found for found in node.findings if found[0] is not Verdict.TAMPERED]
            what = f"lists {short(other)}" if other else "does not list it"
            node.find(Verdict.OUTDATED, f"model.{file.rpartition('/')[2]} was {short(sha)}, {where} {what} today")


def _locked(name: str) -> dict[str, str] | None:
    """File -> sha256 of one entry of the models' lock, whose layout is fixed: two spaces, `files:`, four spaces."""
    if not MODELS_LOCK.is_file():
        return None
    text = MODELS_LOCK.read_text(encoding="utf-8", errors="replace")
    entry = re.search(rf"^{re.escape(name)}:\n((?: .*\n|#.*\n|\n)*)", text, re.MULTILINE)
    return dict(re.findall(r"^    (\S+): ([0-9a-f]{64})\b", entry[1], re.MULTILINE)) if entry else {}


def _trained(project: Project, path: str) -> dict[str, str] | None:
    try:
        files = json.loads(project.place(f"{path}/training.json").read_bytes())["files"]
        return {str(name): str(sha) for name, sha in files.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, Unreadable, RecursionError):
        return None
