# What all rules share: the study, its plan, and digests of the code that decides each phase's results.
# Nothing here imports a deep-learning library or pandas: every job on a cluster parses the workflow anew.
import atexit
import gc
import json
import os
import re
import sys
from pathlib import Path
from shlex import quote

from snakemake.logging import logger

from scbench import baseline, cellkey, codedigest, corpus, heads, places, sessionkey, trainkey
from scbench.artifacts import ARTIFACTS, identity
from scbench.canonical import digest_value, write_atomically
from scbench.errors import UserError
from scbench.models import EXPORTED, REPORT, read_models
from scbench.parts import Standing, code_of
from scbench.plan import job_minutes, make_plans
from scbench.provenance import ledger
from scbench.provenance.settings import record_study
from scbench.raw import needs, read_sources
from scbench.schema import read_yaml
from scbench.status import running_jobs
from scbench.store import check_writable, writing
from scbench.study import history_rows, load_study, quirk_twins, twin

# A plan is some hundred thousand objects that stay: to look for garbage among them takes longer than to keep it. A run
# looks for it again (`start_run`), and the end of the process does without.
if workflow.is_main_process:
    gc.disable()
    atexit.register(gc.freeze)

# Commands run with this repository's code, wherever the working directory is, and with this Python, unless --sdm brings
# another one.
DEPLOYED = bool(workflow.deployment_settings.deployment_method)
OUR_PATH = "" if DEPLOYED else f"PATH={quote(os.path.dirname(sys.executable))}:$PATH "
shell.prefix(f"export {OUR_PATH}PYTHONPATH={quote(str(workflow.basedir))}; ")


def read_plans():
    """The plan of the configured study, then of those beside it; a wrong study ends the run with one sentence."""
    given = [os.path.relpath(path) for path in workflow.overwrite_configfiles]
    origin = " + ".join(given) or "config.yaml"
    try:
        # Snakemake has read them too, but of a key that stands twice it keeps the last value.
        for path in given or [f"{workflow.basedir}/config.yaml"]:
            read_yaml(path)
        return make_plans(load_study(config, origin))
    except UserError as error:
        raise SystemExit(f"error: {error}")


# Every command reads the same hundred modules to know what is outdated.
codedigest.remember(Path(".snakemake", "code.json"))

PLANS = read_plans()
PLAN = PLANS[0]
STUDY = PLAN.study
TRAINABLE = {name: model for name, model in read_models().items() if model.recipe}
ENVIRONMENT = f"{workflow.basedir}/envs/{'cpu' if all(model.gpus == 0 for model in STUDY.models) else 'gpu'}.yaml"
# vLLM's pins are its own.
INFERENCE_ENVIRONMENT = f"{workflow.basedir}/envs/vllm.yaml" if STUDY.execution.engine == "vllm" else ENVIRONMENT


wildcard_constraints:
    task="|".join(STUDY.tasks),
    model="|".join(model.name for model in STUDY.models),
    label="|".join(sorted({re.escape(row.label) for _, row in PLAN.rows})),


if workflow.is_main_process:
    for plan in PLANS:
        logger.info(
            f"study {plan.study.name}: {len(plan.rows)} rows, {len(plan.cells)} cells in {len(plan.shards)} inference "
            f"jobs, estimated {plan.seconds / 3600:.1f} hours of jobs"
        )
    if STUDY.pending:
        logger.warning(f"warning: {STUDY.origin}: planned but not available yet: {'; '.join(STUDY.pending)}")
        # A plan is long: what it lacks is said at its end, too.
        lacking = f"This plan cannot run yet, for want of {'; '.join(STUDY.pending)}."
        atexit.register(lambda: workflow.dryrun and print(lacking))


def lift_limit():
    """Take away the bound on the jobs begun in a second, unless the command gives one.

    On one machine cores bound what runs, and Snakemake's bound keeps a run that has ended waiting for the rest of that
    second.
    """
    given = workflow.scheduling_settings.max_jobs_per_timespan
    if workflow.local_exec and given and (given.max_jobs, given.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


def start_run():
    """Before the first job: refuse what cannot run, show this run to others, write the study that the commands read."""
    gc.freeze()  # what was planned stays; a run takes hours, and what it leaves is swept again
    gc.enable()
    needed = list(workflow.dag.needrun_jobs())
    names = {job.rule.name for job in needed}
    if STUDY.pending and any(name.startswith("infer_") for name in names):
        raise SystemExit(
            f"error: {STUDY.origin}: this version cannot run it for want of {'; '.join(STUDY.pending)}; "
            "fetch and pin models of the hub (`python -m scripts.fetch_model --name <model> --pin`), take what is missing out "
            "of the study, or add -n to see the plan alone"
        )
    paths = {places.study_file(plan.study.name): plan.study for plan in PLANS}
    shows = any(
        file.startswith("figures/") and not file.startswith("figures/partial/") for job in needed for file in job.output
    )
    try:
        check_writable("results", places.STORE, *map(os.path.dirname, paths), "figures")
        for model in STUDY.models:
            if model.source == "locked" and not model.hub:  # nothing fetches or makes it
                model.verify()
        heads.begin(STUDY.name, workflow.execution_settings.retries, shows)
        for path, study in paths.items():
            text = json.dumps(study.resolved(), indent=2, ensure_ascii=False) + "\n"  # the rows keep their order
            with writing(path):
                if not os.path.isfile(path) or open(path, encoding="utf-8").read() != text:
                    # It would write answers of the settings it began with over those of this run.
                    if os.path.isfile(path) and (jobs := running_jobs(study.name)):
                        raise UserError(
                            f"{path}: {jobs[0]} still runs, begun by another run of {study.name} with other settings; "
                            "let it end or cancel it, or give this study another name (`study:`)"
                        )
                    write_atomically(path, text)
                record_study(path, workflow.overwrite_configfiles or [f"{workflow.basedir}/config.yaml"])
    except UserError as error:
        raise SystemExit(f"error: {error}")
    for plan in PLANS:
        again = [shard for shard in plan.shards if f"infer_{job_name(plan, shard.name)}" in names]
        if told := Standing(plan.study).told(part for shard in again for part in plan.parts(shard)):
            logger.info(f"study {plan.study.name}: {told}")


def model_files(name):
    """What the training of a model leaves."""
    return [f"{places.model_directory(name)}/{file}" for file in (*EXPORTED, REPORT)]


def training_directory(name):
    """Where a training that was stopped goes on: only while recipe, code and libraries are those it began with."""
    return f"{places.model_directory(name)}/training/{trainkey.digest(TRAINABLE[name])[:12]}"


def awaited_files(model):
    """What a job that reads `model` waits for: the files of one that is trained or fetched, nothing of a bundled one."""
    return model_files(model.name) if model.awaited else fetched_files(model)


def fetched_files(model):
    """The files of a model that comes from the hub, as they are pinned."""
    return [str(model.directory / file) for file in model.files] if model.hub and model.source == "locked" else []


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


CELL_DIGESTS = {}
ROW_CODE = {}  # of `code_of`


def shard_digest(plan, shard):
    """What decides the results of a shard's cells, the machine aside."""
    return digest_value({part.path: cell_digest(plan.study, part.cell) for part in plan.parts(shard)})


def cell_digest(study, cell):
    """What decides the results of a cell, the machine aside; worked out once, as a large cell is cut into many parts."""
    name = study.name, cell.id
    if name not in CELL_DIGESTS:
        CELL_DIGESTS[name] = digest_value(cellkey.fields(study, cell))
    return CELL_DIGESTS[name]


def job_name(plan, name):
    """The name of a job, which of a study beside ours begins with what its name has besides ours."""
    return name if plan is PLAN else f"{plan.study.name.removeprefix(f'{STUDY.name}-')}-{name}"


def job_resources(model, minutes):
    """What a job asks for: the model's memory and GPUs, and the time it is planned to take with a margin.

    A job that is tried again may have run out of memory: each attempt asks for half as much again, up to a whole node.
    """
    gpus = {"gpu": model.gpus} if model.gpus else {}

    def memory(wildcards, attempt):
        return min(model.mem_mb * (attempt + 1) // 2, max(LARGEST_MEMORY_MB or sys.maxsize, model.mem_mb))

    return {"mem_mb": memory, "runtime": minutes} | gpus


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


def score_files(*studies):
    """The score file of every row of `studies`."""
    return [
        places.scores_file(study.name, model.name, row.label)
        for study in studies
        for model in study.models
        for row in study.rows(model)
    ]


def artifact_inputs(artifact):
    """What an artifact is made from: all scores, some of both histories, the sessions, or the study alone."""
    if artifact.needs == "histories":
        return score_files(history_rows(STUDY), *filter(None, [twin(STUDY)]))
    if artifact.needs == "asked":
        return score_files(STUDY, *quirk_twins(STUDY))
    if artifact.needs in ("scores", "answers"):
        return score_files(STUDY)
    if artifact.needs == "registry":
        return []
    if artifact.needs == "attention":
        return [places.attention_file(STUDY.name)]
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
    if artifact.needs in ("scores", "answers", "histories", "asked"):
        return ["--scores"]
    if artifact.needs == "registry":
        return []
    if artifact.needs == "attention":
        return ["--attention"]
    # Below the working directory as it is called from there, so that a clone may move.
    tokenizer = STUDY.models[0].directory / "tokenizer.json"
    inside = tokenizer.is_absolute() and tokenizer.is_relative_to(os.getcwd())
    return ["--tokenizer", os.path.relpath(tokenizer) if inside else str(tokenizer), "--sessions"]


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
