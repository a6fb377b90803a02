"""The workflow as a user runs it: real commands, the bundled model, copies of this repository."""

import inspect
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file, save_file
from snakemake.scheduling.job_scheduler import JobScheduler

from scbench.artifacts import ARTIFACTS
from scbench.artifacts.catalogue import catalogue
from scbench.canonical import digest_file
from scbench.places import ROOT
from tests.browser import browser, walk
from tests.provenance.stable import stable_bytes

TREE = ("Snakefile", "config.yaml", "rules", "scbench", "scripts", "resources", "studies", "local", "slurm", "envs")
TREE += ("kernels", "requirements.in", "requirements.lock", "requirements-dev.in", "requirements-dev.lock")
CELLS = 16  # four rows, two tasks, two modes
SESSIONS = 3
TURNS = 2
STUDY = yaml.safe_load((ROOT / "studies" / "smoke.yaml").read_text())
STUDY["data"] |= {"sessions": SESSIONS, "turns": TURNS}
TARGETS = ("figures/table2.tex", "figures/table2.csv", "figures/table4.tex", "figures/table4.csv")
TARGETS += ("figures/figure3.pdf", "figures/figure3.png")


# Through the report's menu to each category and each artifact in it: label -> the size of what is opened.
SHOWN = """async rest => {
  const links = () => [...document.querySelectorAll("nav a")];
  const found = {};
  for (const category of Object.keys(categories)) {
    links().find(link => link.textContent.trim() === category).click();
    await rest();
    const rows = [...document.querySelectorAll("nav tr")].filter(row => row.querySelector("td"));
    found[category] = {};
    for (const row of rows) {
      row.querySelector("a").click();
      await rest();
      const page = document.querySelector("#app iframe");
      const picture = [...document.querySelectorAll("#app img")].find(image => !image.closest("nav"));
      const size = page ? page.src.length : picture ? picture.naturalWidth : 0;
      found[category][row.querySelector("td").innerText.trim()] = size;
    }
    links().find(link => link.textContent.trim() === "Results").click();
    await rest();
  }
  return found;
}"""


class Clone:
    """A copy of the repository in which commands run as in a fresh clone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        for name in TREE:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, path / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, path / name)
        self.write_study("test.yaml", STUDY)

    def write_study(self, name: str, study: dict) -> None:
        (self.path / name).write_text(yaml.safe_dump(study, sort_keys=False))

    def start(self, *arguments: str) -> subprocess.Popen:
        """`snakemake <arguments>` in the copy, output in a pipe."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("SNAKEMAKE", "PYTHON"))
        }
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=self.path,
            # The document has tests of its own; here it would cost every run seconds.
            env=environment | {"OMP_NUM_THREADS": "1", "LUALATEX": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def snakemake(self, *arguments: str, status: int = 0) -> str:
        """What `snakemake <arguments>` prints; it must end with `status`."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=240)
        assert process.returncode == status, output + self.logs()
        return output

    def build(self, *arguments: str, study: str = "test.yaml", status: int = 0) -> str:
        """A real run of everything (or of the targets in `arguments`) on two cores."""
        return self.snakemake(*arguments, "--profile", "local", "--cores", "2", f"--configfile={study}", status=status)

    def jobs(self, *arguments: str, study: str = "test.yaml") -> Counter:
        """The rules that a dry run would execute, `all` left out."""
        output = self.snakemake("-n", *arguments, "--profile", "local", f"--configfile={study}")
        return Counter(name for name in re.findall(r"^(?:local)?rule (\S+):$", output, re.MULTILINE) if name != "all")

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted((self.path / "logs").rglob("*.log")))

    def outputs(self) -> dict[str, bytes]:
        """Path -> bytes of everything that must not depend on how a run went: of sidecars all but the observation."""
        kept = [*(self.path / "figures").rglob("*"), *(self.path / "results" / "store").glob("??/*.json*")]
        for name in ("sessions", "baseline", "cells", "scores", "artifacts"):
            kept += (self.path / "results" / "smoke" / name).rglob("*")
        return {str(path.relative_to(self.path)): stable_bytes(path) for path in kept if path.is_file()}

    def computed(self) -> Counter:
        """How often each turn was computed, by the observations of all runs."""
        counts = Counter()
        for path in (self.path / "results" / "smoke" / "observations").glob("*.jsonl"):
            for line in path.read_text().splitlines():
                seen = json.loads(line)
                counts[tuple(seen[name] for name in ("method", "task", "mode", "session", "turn"))] += 1
        return counts

    def progress(self) -> int:
        """Steps that the inference job has done, 0 before it starts."""
        found = list((self.path / "results" / "smoke" / "progress").glob("minilm-*.json"))
        return sum(json.loads(path.read_text())["done"] for path in found)

    def inference_process(self) -> int:
        """The number of the process that runs inference, by the leases it holds."""
        (owner,) = (self.path / "results" / "store" / "leases").glob("owner-*")
        return json.loads(owner.read_text())["pid"]

    def edit(self, path: str, change: Callable[[str], str]) -> None:
        source = (self.path / path).read_text()
        assert change(source) != source
        (self.path / path).write_text(change(source))


def wait_for(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    """Return as soon as `condition` holds; fail if `process` ends before."""
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy in which nothing has run."""
    return Clone(tmp_path_factory.mktemp("fresh") / "clone")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy in which the study ran once."""
    clone = Clone(tmp_path_factory.mktemp("undisturbed") / "clone")
    clone.build()
    return clone


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """A copy in which inference was killed in the middle, then Snakemake itself, before the command ended well."""
    clone = Clone(tmp_path_factory.mktemp("disturbed") / "clone")
    command = ("--profile", "local", "--cores", "2", "--configfile=test.yaml")
    done = 0
    for victim in (lambda _: clone.inference_process(), lambda process: process.pid):
        process = clone.start(*command)
        # More than before, so that this run has computed something and is in the middle of the rest.
        wait_for(lambda floor=done: floor < clone.progress() < CELLS * SESSIONS, process)
        os.kill(victim(process), signal.SIGKILL)
        process.communicate(timeout=120)
        assert process.returncode != 0
        done = clone.progress()
    clone.last_output = clone.build()
    return clone


def test_everything_asked_for_is_there(undisturbed: Clone):
    for target in TARGETS:
        assert (undisturbed.path / target).stat().st_size > 0
        assert (undisturbed.path / f"{target}.prov.json").is_file()
    table = (undisturbed.path / "figures" / "table4.csv").read_text().splitlines()
    column = table[0].split(",").index("method")
    assert [line.split(",")[column] for line in table[1:5]] == ["full", "snapkv", "a_shape", "no_context"]


def test_the_baseline_was_checked_first(undisturbed: Clone):
    checked = undisturbed.path / "results" / "smoke" / "baseline" / "minilm.json"
    result = json.loads(checked.read_text())
    assert [(task["subtask"], task["queries"], task["accuracy"] >= task["floor"]) for task in result["tasks"]] == [
        ("retr_kv", 250, True),
        ("needle", 250, True),
    ]
    cells = list((undisturbed.path / "results" / "smoke" / "cells").rglob("*.jsonl"))
    assert cells and all(checked.stat().st_mtime_ns < cell.stat().st_mtime_ns for cell in cells)


def test_each_turn_is_computed_once(undisturbed: Clone):
    counts = undisturbed.computed()
    assert len(counts) == CELLS * SESSIONS * TURNS
    assert set(counts.values()) == {1}


def test_each_context_is_prefilled_once_for_all_methods_that_start_dense(undisturbed: Clone):
    log = undisturbed.logs()
    # The floor's prompts, without a context, are another prefix for each session.
    assert re.search(rf"dense_prefills {2 * SESSIONS * 2}$", log, re.MULTILINE), log


def test_the_report_shows_every_artifact_by_category_in_a_browser(undisturbed: Clone, tmp_path: Path):
    browser()  # before the seconds that the report takes
    undisturbed.build("views")
    undisturbed.snakemake("views", "--profile", "local", "--configfile=test.yaml", "--report", "report.html")
    found, errors = walk(undisturbed.path / "report.html", SHOWN, tmp_path)
    assert not errors
    expected: dict[str, list[str]] = {}
    for entry in catalogue():
        expected.setdefault(entry.category, []).append(re.sub(r" (\d)$", r" 0\1", entry.label))
    assert {category: sorted(found[category]) for category in found} == {
        category: sorted(labels) for category, labels in expected.items()
    }
    assert min(size for shown in found.values() for size in shown.values()) > 500  # pixels or characters


def test_again_there_is_nothing_to_do(undisturbed: Clone):
    assert "Nothing to be done" in undisturbed.build()


def test_kills_lose_nothing_and_change_nothing(disturbed: Clone, undisturbed: Clone):
    assert disturbed.outputs() == undisturbed.outputs()
    counts = disturbed.computed()
    assert len(counts) == CELLS * SESSIONS * TURNS
    assert set(counts.values()) == {1}
    assert re.search(r"[1-9]\d* from the store", disturbed.logs())
    assert "Nothing to be done" in disturbed.build()


def test_without_sharing_the_same_tokens_come_out(undisturbed: Clone, tmp_path: Path):
    clone = Clone(tmp_path / "clone")
    study = STUDY | {"tasks": ["retr_kv"], "execution": STUDY["execution"] | {"share_prefill": False}}
    study |= {"check_baseline": False}
    clone.write_study("test.yaml", study)
    clone.build("results/smoke/scores/minilm/snapkv.parquet")
    cells = {path: data for path, data in clone.outputs().items() if path.startswith("results/smoke/cells/")}
    assert cells
    assert all(undisturbed.outputs()[path] == data for path, data in cells.items() if not path.endswith(".prov.json"))


SHOWING_SCORES = {
    f"{step}_{name}"
    for name, artifact in ARTIFACTS.items()
    if artifact.needs in ("scores", "answers", "asked", "histories")
    for step in ("make", "offer")
}
EDITS = {
    "a metric": (
        "scbench/scoring/strings.py",
        lambda source: source + "\nTHRESHOLD = 0.5\n",
        {"score"} | SHOWING_SCORES,
    ),
    "a kernel": (
        "scbench/kv/attention.py",
        lambda source: source + "\nWARPS = 4\n",
        {"check_baseline_minilm", "infer_minilm-000", "infer_attention", "make_figure6", "offer_figure6", "score"}
        | SHOWING_SCORES,
    ),
    "a figure": (
        "scbench/artifacts/figure3.py",
        lambda source: source + "\nWIDTH_INCHES = 1\n",
        {"make_figure3", "offer_figure3"},
    ),
    "a comment": ("scbench/methods/compression/snapkv.py", lambda source: f"# a remark\n{source}", set()),
    "a development dependency": (
        "requirements-dev.lock",
        lambda source: source.replace("ruff==", "ruff==9"),
        set(),
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_reruns_what_depends_on_it(undisturbed: Clone, edit: str):
    path, change, expected = EDITS[edit]
    original = (undisturbed.path / path).read_text()
    undisturbed.edit(path, change)
    try:
        jobs = undisturbed.jobs()
    finally:
        (undisturbed.path / path).write_text(original)
    assert set(jobs) == expected
    if edit == "a metric":
        assert jobs["score"] == 4
    if edit == "a figure":
        assert jobs["offer_figure3"] == 1


def test_a_further_model_with_some_of_the_rows_is_all_that_is_left_to_compute(undisturbed: Clone):
    further = STUDY | {"models": ["minilm", {"name": "minilm_l", "methods": ["full"]}]}
    undisturbed.write_study("further.yaml", further)
    assert undisturbed.jobs("figures/table4.tex", study="further.yaml") == {
        "check_baseline_minilm_l": 1,
        "infer_minilm_l-000": 1,
        "score": 2,
        "make_table4": 1,
        "offer_table4": 1,
    }


def test_one_job_a_cell_takes_all_from_the_store_and_an_edit_of_snapkv_reruns_its_cells_alone(undisturbed: Clone):
    cells = STUDY | {"tasks": ["retr_kv"], "execution": STUDY["execution"] | {"granularity": "cell"}}
    undisturbed.write_study("cells.yaml", cells)
    before = undisturbed.computed()
    undisturbed.build("figures/table4.tex", study="cells.yaml")
    assert undisturbed.computed() == before
    assert not undisturbed.jobs("figures/table4.tex", study="cells.yaml")

    path = "scbench/methods/compression/snapkv.py"
    original = (undisturbed.path / path).read_text()
    undisturbed.edit(path, lambda source: source + "\nREACH = 7\n")
    try:
        jobs = undisturbed.jobs("figures/table4.tex", study="cells.yaml")
    finally:
        (undisturbed.path / path).write_text(original)
    assert jobs == {
        f"infer_minilm-snapkv-retr_kv-multi_turn-0-{SESSIONS}": 1,
        f"infer_minilm-snapkv-retr_kv-multi_request-0-{SESSIONS}": 1,
        "score": 1,
        "make_table4": 1,
        "offer_table4": 1,
    }


TRAIN = STUDY | {"models": [{"name": "minilm", "source": "train"}]}


def test_a_study_that_trains_its_model_plans_that_before_whatever_reads_it(fresh: Clone):
    fresh.write_study("train.yaml", TRAIN)
    output = fresh.snakemake("-n", "figures/table2.tex", "figures/table4.tex", "--configfile=train.yaml")
    inputs = dict(re.findall(r"^(?:local)?rule (\S+):\n    input: (.*)$", output, re.MULTILINE))
    assert inputs["train_minilm"] == "resources/recipes/minilm.yaml"
    of_tokenizer = {name for name, files in inputs.items() if "results/models/minilm/tokenizer.json" in files}
    of_weights = {name for name, files in inputs.items() if "results/models/minilm/model.safetensors" in files}
    inference = {name for name in inputs if name.startswith("infer_")}
    assert inference and of_weights >= inference
    assert of_tokenizer >= {"build_sessions", "make_table2"} | inference
    assert "train_minilm" not in fresh.jobs("figures/table4.tex")


@pytest.fixture
def trainee(tmp_path: Path) -> Clone:
    """A copy with a study that trains its model in two steps: small, bad and soon done."""
    clone = Clone(tmp_path / "clone")
    recipe = yaml.safe_load((clone.path / "resources/recipes/minilm.yaml").read_text())
    recipe["size"] |= {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 32}
    stage = {"tokens": 64, "length": 512, "steps": 2, "required": False, "weights": {"retr_kv": 1}, "gates": {}}
    recipe |= {"tokens_per_step": 512, "evaluation_sessions": 1, "stages": [recipe["stages"][0] | stage]}
    (clone.path / "resources/recipes/minilm.yaml").write_text(yaml.safe_dump(recipe))
    clone.edit("resources/models.lock.yaml", lambda lock: re.sub(r"context: \d+", "context: 512", lock, count=1))
    # Counting words is what takes time here.
    clone.edit("scbench/minilm/tokenizer.py", lambda code: code.replace("sessions: int = 200", "sessions: int = 2"))
    data = TRAIN["data"] | {"tokens": 64, "sessions": 1}
    short = {"methods": {"full": {}}, "floor": False, "check_baseline": False, "tasks": ["retr_kv"], "data": data}
    clone.write_study("train.yaml", TRAIN | short)
    return clone


def test_a_study_trains_its_model_and_keeps_results_by_the_files_that_came_out(trainee: Clone):
    scores = "results/smoke/scores/minilm/full.parquet"
    trainee.build(scores, study="train.yaml")
    report = json.loads((trainee.path / "results/models/minilm/training.json").read_text())
    assert report["steps"] == 2
    cells = list((trainee.path / "results/smoke/cells/minilm/full/retr_kv").rglob("*.prov.json"))
    assert len(cells) == 2
    for cell in cells:
        assert json.loads(cell.read_text())["identity"]["fields"]["model"] == report["files"]
    assert not trainee.jobs(scores, study="train.yaml")

    trainee.edit("resources/recipes/minilm.yaml", lambda recipe: recipe.replace("seed: 0", "seed: 1"))
    jobs = trainee.jobs(scores, study="train.yaml")
    assert set(jobs) == {"train_minilm", "build_sessions", "infer_minilm-000", "score"}


@pytest.mark.parametrize(
    "arguments",
    [("--configfile=studies/paper.yaml", "figures/table4.tex"), ("--profile", "slurm", "figures/table4.tex")],
)
def test_the_papers_study_is_planned_in_seconds(fresh: Clone, arguments: tuple[str, ...]):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = fresh.snakemake("-n", *arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of the processor; a machine that is busy takes up to half as many again as an idle one.
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert "74 rows, 1776 cells" in output
    jobs = {name: int(count) for name, count in re.findall(r"^(\S+) +(\d+)$", output, re.MULTILINE)}
    assert jobs["score"] == 74
    assert not any(name.startswith("check_baseline") for name in jobs)
    assert jobs["total"] < 400
    assert len(re.findall("planned but not available yet", output)) == 1
    assert output.splitlines()[-1].startswith("This plan cannot run yet, for want of pinned files of ")
    assert seconds <= 15


@pytest.mark.parametrize("change", [{"methods": {"snapvk": {}}}, {"tasks": ["retr_vk"]}, {"taskz": []}])
def test_a_wrong_study_ends_with_one_sentence(fresh: Clone, change: dict):
    fresh.write_study("wrong.yaml", STUDY | change)
    output = fresh.snakemake("-n", "--configfile=wrong.yaml", status=1)
    errors = [line for line in output.splitlines() if "error" in line.lower()]
    assert len(errors) == 1
    assert errors[0].startswith("error: wrong.yaml: ")
    assert "Traceback" not in output


def test_a_key_that_stands_twice_is_refused_although_snakemake_would_take_the_last(fresh: Clone):
    study = (fresh.path / "test.yaml").read_text()
    (fresh.path / "twice.yaml").write_text(f"{study}tasks: [retr_kv]\n")
    output = fresh.snakemake("-n", "--configfile=twice.yaml", status=1)
    (error,) = [line for line in output.splitlines() if "error" in line.lower()]
    assert error.startswith("error: twice.yaml: not valid YAML")
    assert "'tasks' stands twice" in error
    assert "Traceback" not in output


def test_what_cannot_run_yet_stops_before_any_job(fresh: Clone):
    output = fresh.build("figures/table4.tex", study="studies/paper.yaml", status=1)
    assert output.splitlines()[-1].startswith("error: studies/paper.yaml: this version cannot run ")
    assert "Traceback" not in output
    assert not (fresh.path / "results" / "paper").exists()


def test_a_broken_model_stops_before_its_inference_unless_the_study_says_otherwise(tmp_path: Path):
    clone = Clone(tmp_path / "clone")
    weights = clone.path / "resources" / "minilm" / "model.safetensors"
    before = digest_file(weights)
    flipped = {name: weight.flip(0).contiguous() for name, weight in load_file(weights).items()}
    save_file(flipped, weights, {"format": "pt"})
    clone.edit("resources/models.lock.yaml", lambda lock: lock.replace(before, digest_file(weights)))
    # So short that there are no needles, and the check takes seconds.
    study = STUDY | {"tasks": ["retr_kv"], "data": STUDY["data"] | {"tokens": 64}}
    clone.write_study("test.yaml", study)
    output = clone.build(status=1)
    (error,) = {line for line in output.splitlines() if line.startswith("error: ")}
    assert re.match(r"error: smoke: minilm fails with full attention at data\.tokens 64: .* retr_kv queries", error)
    assert error in clone.logs()
    assert "Traceback" not in output
    assert not clone.computed()
    assert not (clone.path / "results" / "smoke" / "baseline").exists()
    clone.write_study("test.yaml", study | {"check_baseline": False})
    assert not any(name.startswith("check_baseline") for name in clone.jobs())


def test_a_results_directory_that_cannot_be_written_is_one_sentence(tmp_path: Path):
    clone = Clone(tmp_path / "clone")
    (clone.path / "results").write_text("a file where the directory should be")
    output = clone.build(status=1)
    assert output.splitlines()[-1].startswith("error: results")
    assert "cannot be written" in output
    assert "Traceback" not in output


def test_the_scheduler_still_has_the_limiter_that_a_run_on_one_machine_does_without():
    """Rules take it away by its name, which would do nothing, and keep a finished run waiting, if it had another."""
    assert "self.job_rate_limiter" in inspect.getsource(JobScheduler.__init__)
    assert "if self.job_rate_limiter is not None" in inspect.getsource(JobScheduler.schedule)


def test_the_workflow_is_lint_free_and_formatted(fresh: Clone):
    assert "in a good condition" in fresh.snakemake("--lint")
    command = [sys.executable, "-m", "snakefmt", "--check", "Snakefile", "rules"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0
