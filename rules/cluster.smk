# What is refused before the first job of a run on a cluster, and of any run that is meant for a paper.
from scbench import cluster
from scbench.provenance.observation import commit

# Of a local run Snakemake knows cores alone.
SUBMITS = workflow.is_main_process and workflow.resource_settings.nodes is not None


def largest_requests():
    """What each model's longest job asks for at its first attempt."""
    minutes = {model.name: 0 for model in STUDY.models}
    for plan, shard in [(plan, shard) for plan in PLANS for shard in plan.shards]:
        minutes[shard.model.name] = max(plan.minutes(shard), minutes[shard.model.name])
    return [
        cluster.Request(model.name, model.gpus, model.mem_mb, minutes[model.name], STUDY.execution.threads)
        for model in STUDY.models
    ]


def check_partitions():
    """Refuse what no partition gives, in a plan too.

    Returns the memory of the largest node in MB and what kept SLURM from answering; None for what is not so.
    """
    if not SUBMITS or not cluster.present():
        return None, None
    defaults = workflow.resource_settings.default_resources or {}
    # As they were written; a value that is text is an expression to Snakemake.
    wanted = {name: str(defaults[name].raw).strip("'\"") for name in cluster.COMMON if name in defaults}
    try:
        return cluster.check(largest_requests(), wanted), None
    except cluster.Unreachable as error:
        return None, str(error)
    except UserError as error:
        raise SystemExit(f"error: {error}")


LARGEST_MEMORY_MB, UNREACHABLE = check_partitions()
if UNREACHABLE:
    logger.warning(f"warning: {UNREACHABLE}")


def check_start():
    """Before the first job: a cluster that answers, and for a paper a worktree without uncommitted changes."""
    if SUBMITS and not cluster.present():
        raise SystemExit(
            "error: slurm: sbatch is not on the PATH; run on a login node of the cluster, or --profile local"
        )
    if UNREACHABLE:
        raise SystemExit(f"error: {UNREACHABLE}")
    if STUDY.paper:
        ran = commit()
        if ran is None:
            logger.warning(f"warning: {STUDY.origin}: paper: {STUDY.paper}, but no git here says which code runs")
        elif ran["dirty"] and STUDY.paper != "uncommitted":
            raise SystemExit(
                f"error: {STUDY.origin}: paper: true, but the worktree of {workflow.basedir} has uncommitted changes "
                "(git status); commit or stash them, or set paper: uncommitted, which stays on record with the results"
            )
