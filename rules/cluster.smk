# What is refused before the first job of a run on a cluster, and of any run that is meant for a paper.
from scbench import cluster
from scbench.provenance.observation import commit

# Of a local run Snakemake knows cores alone.
SUBMITS = workflow.is_main_process and workflow.resource_settings.nodes is not None


# Rules whose size is theirs: neither a model nor the study decides it.
OF_THEIR_OWN = ("build_sessions", "train_minilm", "train_classifier")


def longest_jobs():
    """The rule of each model's longest inference job -> the model's name."""
    jobs = sorted(((plan, shard) for plan in PLANS for shard in plan.shards), key=lambda job: job[1].seconds)
    found = {shard.model.name: f"infer_{job_name(plan, shard.name)}" for plan, shard in jobs}
    return {rule: model for model, rule in found.items()}


OF_MODELS = longest_jobs()


def planned_jobs():
    """The study's own jobs as (rule, resources at the first attempt): of a model's inference the longest alone."""
    names = ["build_sessions", *OF_MODELS]
    names += [baseline.job(model) for model in STUDY.models if baseline.applies(STUDY)]
    names += [attention.JOB] if WATCHED else []
    names += ["train_minilm"] if any(model.awaited for model in STUDY.models) else []
    return [(name, workflow.get_rule(name).expand_resources(None, [], attempt=1)) for name in names]


def check_jobs(jobs):
    """The memory in MB that each of `jobs`, as (rule, resources), may have; None without any.

    Raises UserError for what no partition gives, Unreachable as `cluster.check` does.
    """
    requests = {}
    for rule, resources in jobs:
        size = (resources.get("gpu", 0), resources.mem_mb, resources.runtime, resources._cores)
        wanted = tuple((name, str(resources.get(name))) for name in cluster.COMMON if resources.get(name))
        asked = cluster.Request(OF_MODELS.get(rule, rule), *size, rule=rule if rule in OF_THEIR_OWN else "")
        requests.setdefault(wanted, {})[asked] = None
    return min((cluster.check(asked, dict(wanted)) for wanted, asked in requests.items()), default=None)


def check_partitions():
    """Refuse, in a plan too, what no partition gives of the study's jobs.

    Returns the memory in MB that jobs may have and what kept SLURM from answering; None for what is not so.
    """
    if not SUBMITS or not cluster.present():
        return None, None
    try:
        return check_jobs(planned_jobs()), None
    except cluster.Unreachable as error:
        return None, str(error)
    except UserError as error:
        raise SystemExit(f"error: {error}")


LARGEST_MEMORY_MB = None  # which the size of a first attempt does not depend on
LARGEST_MEMORY_MB, UNREACHABLE = check_partitions()
if UNREACHABLE:
    logger.warning(f"warning: {UNREACHABLE}")


def check_needed():
    """Refuse what no partition gives of the jobs to come, those that were asked for by name too; inference has been."""
    jobs = [job for job in workflow.dag.needrun_jobs() if not job.is_local and not job.rule.name.startswith("infer_")]
    try:
        check_jobs((job.rule.name, job.resources) for job in jobs)
    except UserError as error:
        raise SystemExit(f"error: {error}")


def check_start():
    """Before the first job: a cluster that answers, and for a paper a worktree without uncommitted changes."""
    if SUBMITS and not cluster.present():
        raise SystemExit(
            "error: slurm: sbatch is not on the PATH; run on a login node of the cluster, or --profile local"
        )
    if UNREACHABLE:
        raise SystemExit(f"error: {UNREACHABLE}")
    if SUBMITS:
        check_needed()
    if STUDY.paper:
        ran = commit()
        if ran is None:
            logger.warning(f"warning: {STUDY.origin}: paper: {STUDY.paper}, but no git here says which code runs")
        elif ran["dirty"] and STUDY.paper != "uncommitted":
            raise SystemExit(
                f"error: {STUDY.origin}: paper: true, but the worktree of {workflow.basedir} has uncommitted changes "
                "(git status); commit or stash them, or set paper: uncommitted, which stays on record with the results"
            )
