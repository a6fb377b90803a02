# What all rules share: the study, its plan, and digests of the code that decides each phase's results.
# Nothing here imports a deep-learning library or pandas: every job on a cluster parses the workflow anew.
import json
import os
import re
import sys
from shlex import quote

from snakemake.logging import logger

from scbench import baseline, cellkey, codedigest, corpus, places, sessionkey, trainkey
from scbench.artifacts import ARTIFACTS, identity
from scbench.canonical import digest_value, write_atomically
from scbench.errors import UserError
from scbench.models import EXPORTED, REPORT, read_models
from scbench.plan import job_minutes, make_plan
from scbench.provenance import ledger
from scbench.provenance.settings import record_study
from scbench.raw import needs, read_sources
from scbench.schema import read_yaml
from scbench.store import check_writable, writing
from scbench.study import load_study

# Commands run with this Python and this repository's code, wherever the working directory is.
shell.prefix(f"export PATH={quote(os.path.dirname(sys.executable))}:$PATH PYTHONPATH={quote(str(workflow.basedir))}; ")


def read_plan():
    """The plan of the configured study; a study that is wrong ends the run with one sentence."""
    given = [os.path.relpath(path) for path in workflow.overwrite_configfiles]
    origin = " + ".join(given) or "config.yaml"
    try:
        # Snakemake has read them too, but of a key that stands twice it keeps the last value.
        for path in given or [f"{workflow.basedir}/config.yaml"]:
            read_yaml(path)
        return make_plan(load_study(config, origin))
    except UserError as error:
        raise SystemExit(f"error: {error}")


PLAN = read_plan()
STUDY = PLAN.study
TRAINABLE = {name: model for name, model in read_models().items() if model.recipe}
ENVIRONMENT = f"{workflow.basedir}/envs/{'cpu' if all(model.gpus == 0 for model in STUDY.models) else 'gpu'}.yaml"


wildcard_constraints:
    task="|".join(STUDY.tasks),
    model="|".join(model.name for model in STUDY.models),
    label="|".join(sorted({re.escape(row.label) for _, row in PLAN.rows})),


if workflow.is_main_process:
    logger.info(
        f"study {STUDY.name}: {len(PLAN.rows)} rows, {len(PLAN.cells)} cells in {len(PLAN.shards)} inference jobs, "
        f"estimated {PLAN.seconds / 3600:.1f} hours of jobs"
    )
    if STUDY.pending:
        logger.warning(f"warning: {STUDY.origin}: planned but not available yet: {'; '.join(STUDY.pending)}")


def start_run():
    """Before the first job: refuse what cannot run, write the resolved study that the commands read."""
    names = {job.rule.name for job in workflow.dag.needrun_jobs()}
    if STUDY.pending and any(name.startswith("infer_") for name in names):
        raise SystemExit(
            f"error: {STUDY.origin}: this version cannot run {'; '.join(STUDY.pending)}; "
            "take them out of the study, or add -n to see the plan alone"
        )
    text = json.dumps(STUDY.resolved(), indent=2, ensure_ascii=False) + "\n"  # the rows keep their order
    path = places.study_file(STUDY.name)
    try:
        check_writable("results", places.STORE, os.path.dirname(path), "figures")
        if not os.path.isfile(path) or open(path, encoding="utf-8").read() != text:
            with writing(path):
                write_atomically(path, text)
        with writing(path):
            record_study(path, workflow.overwrite_configfiles or [f"{workflow.basedir}/config.yaml"])
    except UserError as error:
        raise SystemExit(f"error: {error}")


def model_files(name):
    """What the training of a model leaves."""
    return [f"{places.model_directory(name)}/{file}" for file in (*EXPORTED, REPORT)]


def training_directory(name):
    """Where a training that was stopped goes on: only while recipe, code and libraries are those it began with."""
    return f"{places.model_directory(name)}/training/{trainkey.digest(TRAINABLE[name])[:12]}"


def awaited_files(model):
    """What a job that reads `model` waits for: the files of one that is trained here, nothing of a pinned one."""
    return model_files(model.name) if model.awaited else []


def raw_inputs(task):
    """The fetched files that the sessions of a task are made from."""
    return [places.raw_file(source, file) for source, file in needs(STUDY, task)]


def at_hand(task):
    """Whether the sessions of a task can be made without the network: what they are made from is here or in a mirror."""
    mirror = STUDY.data.mirror
    places_of = [
        [places.raw_file(source, file), *([f"{mirror}/{source}/{file}"] if mirror else [])]
        for source, file in needs(STUDY, task)
    ]
    return not corpus.lacks_folder(STUDY.data, task) and all(any(map(os.path.isfile, found)) for found in places_of)


def shard_digest(shard):
    """What decides the results of a shard's cells, the machine aside."""
    return digest_value({part.path: cellkey.fields(STUDY, part.cell) for part in PLAN.parts(shard)})


def job_resources(model, minutes):
    """What a job asks for: the model's memory and GPUs, and the time it is planned to take with a margin."""
    gpus = {"gpu": model.gpus} if model.gpus else {}
    return {"mem_mb": model.mem_mb, "runtime": minutes} | gpus


def baseline_files(model):
    """What must be there before a job of `model` starts: the word that its full attention works."""
    return [places.baseline_file(STUDY.name, model.name)] if baseline.applies(STUDY) else []


def scores_digest():
    """What decides scores besides the answers: the metrics' code and the libraries they call."""
    libraries = codedigest.constant("scripts.score", "LIBRARIES")
    return digest_value(
        {
            "code": codedigest.digest(codedigest.constant("scripts.score", "CODE")),
            "libraries": {name: cellkey.version(name) for name in libraries},
        }
    )


def score_files():
    """The score file of every row of the study."""
    return [places.scores_file(STUDY.name, model.name, row.label) for model, row in PLAN.rows]


def artifact_inputs(artifact):
    """What an artifact is made from: all scores, the sessions, or the study alone."""
    if artifact.needs == "scores":
        return score_files()
    if artifact.needs == "registry":
        return []
    return [places.sessions_file(STUDY.name, task) for task in STUDY.tasks]


def artifact_tokenizer(artifact):
    """The tokenizer that an artifact waits for: that of a first model that is trained here, where it counts tokens."""
    model = STUDY.models[0]
    return [str(model.directory / "tokenizer.json")] if artifact.needs == "sessions" and model.awaited else []


def artifact_digest(artifact):
    """What decides an artifact besides its input; asked for where a job is planned, as a plan needs few of them."""
    return lambda wildcards: identity.digest(artifact, STUDY)


def artifact_options(artifact):
    """How the command is told about what it is made from, which follows these words."""
    if artifact.needs == "scores":
        return ["--scores"]
    if artifact.needs == "registry":
        return []
    return ["--tokenizer", str(STUDY.models[0].directory / "tokenizer.json"), "--sessions"]


def offered_files():
    """Every table and figure of the study, as figures/ shows it."""
    return [f"figures/{name}{suffix}" for name, artifact in ARTIFACTS.items() for suffix in artifact.suffixes]


def fold_ledger():
    """Append what jobs have recorded; a ledger that is broken or cannot be written stops no run, an audit tells."""
    try:
        with writing(ledger.DIRECTORY):
            ledger.fold()
    except UserError as error:
        logger.warning(f"warning: {error}")
