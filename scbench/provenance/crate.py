"""The lineage as a Provenance Run Crate 0.5 (https://w3id.org/ro/wfrun/provenance/0.5), for archives and other tools.

Files below the crate's directory are named by their path in it; others, which stay where they are, by a URI of what is
in them (RFC 6920: `ni:///sha-256;...`), so that a crate never names this machine.
"""

import base64
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rocrate.model.contextentity import ContextEntity
from rocrate.model.data_entity import DataEntity
from rocrate.rocrate import ROCrate

from scbench.canonical import digest_file
from scbench.places import ROOT
from scbench.provenance.audit import Report
from scbench.provenance.graph import Node

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
TERMS = "https://w3id.org/ro/terms/workflow-run/context"
LANGUAGE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
LICENCE = "https://spdx.org/licenses/MIT"
# The step of the workflow that leaves each kind of file: its command and what it does.
STEPS = {
    "studies": ("resolve", "fill in the study's defaults"),
    "sessions": ("build_sessions", "build the contexts and questions of a task"),
    "cells": ("infer", "answer the questions of a task with a method of a model"),
    "scores": ("score", "score the answers of a row"),
    "artifacts": ("draw", "draw a table or a figure"),
    "figures": ("offer", "copy a table or a figure to figures/"),
}


def as_crate(report: Report, base: Path) -> str:
    """The text of ro-crate-metadata.json, to lie in the directory `base`."""
    return _Crate(report, base.resolve()).text()


class _Crate:
    def __init__(self, report: Report, base: Path) -> None:
        self.report = report
        self.base = base
        self.crate = ROCrate()
        self.crate.metadata.extra_contexts.append(TERMS)
        self.files: dict[str, Any] = {}

    def text(self) -> str:
        crate, report = self.crate, self.report
        recorded = [node for node in report.graph.values() if node.sidecar]
        root = crate.root_dataset
        root["name"] = f"Lineage of {', '.join(report.roots)}"
        root["description"] = (
            f"Every file behind them with its sha256; the audit that wrote this says {report.verdict.title}."
        )
        root["license"] = self._entity(LICENCE, "CreativeWork", name="MIT licence")
        # Of the run and not of the writing, so that the same lineage gives the same crate.
        times = [node.observation.get("finished") for node in recorded]
        root["datePublished"] = max((time for time in times if isinstance(time, str)), default="1970-01-01T00:00:00Z")
        root["conformsTo"] = [
            self._entity(uri, "CreativeWork", name=name, version=uri[-3:]) for uri, name in PROFILES.items()
        ]
        for node in report.graph.values():
            for path, sha in node.expected.items():
                self._file(path, sha, node)
            if not node.expected and "sha256" in node.facts:
                self._file(node.path, node.facts["sha256"], node)
        workflow = self._workflow()
        root["mainEntity"] = workflow
        runs = self._actions(recorded, workflow)
        root["mentions"] = runs
        return json.dumps(crate.metadata.generate(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"

    def _file(self, path: str, sha: str, node: Node) -> Any:
        if path not in self.files:
            properties = {"name": path, "sha256": sha}
            if node.sidecar:
                properties["contentSize"] = str(node.sidecar["output"]["bytes"])
                properties["identifier"] = f"lineage {node.sidecar['lineage']}"
            self.files[path] = self._data(self._name(path, sha), "File", properties)
        return self.files[path]

    def _data(self, name: str, kind: str | list[str], properties: dict[str, Any]) -> Any:
        return self.crate.add(DataEntity(self.crate, name, properties={"@type": kind} | properties))

    def _entity(self, name: str, kind: str, /, **properties: Any) -> Any:
        return self.crate.add(ContextEntity(self.crate, name, properties={"@type": kind} | properties))

    def _name(self, path: str, sha: str) -> str:
        """The path in the crate, or the URI of the content."""
        if ":" not in path:
            whole = Path(os.path.normpath(self.report.project.root / path))
            if whole.is_relative_to(self.base) and whole.is_file():
                return quote(whole.relative_to(self.base).as_posix())
        digest = base64.urlsafe_b64encode(bytes.fromhex(sha)).decode().rstrip("=")
        return f"ni:///sha-256;{digest}?path={quote(path, safe='')}"

    def _workflow(self) -> Any:
        snakefile = ROOT / "Snakefile"
        sha = digest_file(snakefile) if snakefile.is_file() else "0" * 64
        language = self._entity(
            LANGUAGE,
            "ComputerLanguage",
            name="Snakemake",
            identifier={"@id": "https://doi.org/10.1093/bioinformatics/bts480"},
            url={"@id": "https://snakemake.readthedocs.io"},
        )
        kinds = ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]
        workflow = self._data(self._name("Snakefile", sha), kinds, {"name": "Snakefile", "sha256": sha})
        workflow["programmingLanguage"] = language
        self.tools = {
            kind: self._entity(f"#tool-{name}", "SoftwareApplication", name=name, description=what)
            for kind, (name, what) in STEPS.items()
        }
        self.steps = {
            kind: self._entity(
                f"#step-{name}", "HowToStep", name=what, position=str(number), workExample=self.tools[kind]
            )
            for number, (kind, (name, what)) in enumerate(STEPS.items(), start=1)
        }
        workflow["hasPart"] = list(self.tools.values())
        workflow["step"] = list(self.steps.values())
        return workflow

    def _actions(self, recorded: list[Node], workflow: Any) -> list[Any]:
        """An action for each run of a command, for the step it belongs to, for the workflow and for its engine."""
        groups: dict[tuple[str, str], list[Node]] = defaultdict(list)
        for node in recorded:
            groups[node.kind, node.sidecar["lineage"]].append(node)
        runs, controls = [], []
        for number, ((kind, lineage), nodes) in enumerate(sorted(groups.items()), start=1):
            if kind not in STEPS:
                continue
            seen = nodes[0].observation
            run = self._entity(
                f"#run-{number}-{lineage[:12]}",
                "CreateAction",
                name=f"{STEPS[kind][0]}: {nodes[0].path}",
                actionStatus={"@id": "http://schema.org/CompletedActionStatus"},
                startTime=str(seen.get("started")),
                endTime=str(seen.get("finished")),
                description=str(seen.get("command")),
            )
            run["instrument"] = self.tools[kind]
            run["object"] = [entity for node in nodes[:1] for entity in self._inputs(node)]
            run["result"] = [self.files[node.path] for node in nodes]
            runs.append(run)
            control = self._entity(f"#control-{number}", "ControlAction", name=f"orchestrate {STEPS[kind][0]}")
            control["instrument"] = self.steps[kind]
            control["object"] = run
            controls.append(control)
        whole = self._entity("#run-workflow", "CreateAction", name="run of the workflow")
        whole["instrument"] = workflow
        roots = [path for path in self.report.roots if path in self.files]
        whole["result"] = [self.files[path] for path in roots]
        made = {node.path for node in recorded}
        whole["object"] = [entity for path, entity in self.files.items() if path not in made]
        version = next((node.observation["snakemake"] for node in recorded if node.observation.get("snakemake")), None)
        engine = self._entity(
            "#snakemake", "SoftwareApplication", name="Snakemake", softwareVersion=version or "unknown"
        )
        organised = self._entity("#organize", "OrganizeAction", name="run of Snakemake")
        organised["instrument"] = engine
        organised["object"] = controls
        organised["result"] = whole
        return [organised, whole, *runs]

    def _inputs(self, node: Node) -> list[Any]:
        paths = [path for name in node.inputs for path in (self.report.graph[name].expected or {name: ""})]
        return [self.files[path] for path in dict.fromkeys(paths) if path in self.files]
