"""What a SLURM cluster can give, asked of SLURM itself before anything is submitted.

A job that no partition can ever start stays pending for ever, and Snakemake waits for it: so it is refused here, with
the sentence that says what to change.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scbench.errors import UserError

SITE = "slurm/site.yaml"
# What every job asks for besides its size, by the names of Snakemake's default resources.
COMMON = ("slurm_partition", "slurm_account", "qos", "constraint", "gpu_model")
SECONDS = 60  # a controller that does not answer for so long is away
# Of nodes that are away or busy for now; whether they are large enough is known without SLURM's judgement.
TEMPORARY = re.compile(r"available|busy", re.IGNORECASE)
REMEDY = {
    "gpus": "give the model fewer in resources/models.lock.yaml, or take it out of the study",
    "mem_mb": "lower mem_mb in resources/models.lock.yaml, or take the model out of the study",
    "minutes": "lower execution.max_shard_minutes in the study",
    "cpus": "lower execution.threads in the study",
}
# Of a job whose size stands in its rule.
OPTION = {
    "gpus": "--set-resources {rule}:gpu=<fewer>",
    "mem_mb": "--set-resources {rule}:mem_mb=<less>",
    "minutes": "--set-resources {rule}:runtime=<fewer>",
    "cpus": "--set-threads {rule}=<fewer>",
}


@dataclass(frozen=True)
class Request:
    """What a job asks of one node.

    name: whose job it is, a model or a rule. rule: the rule, where neither model nor study decides the job's size.
    """

    name: str
    gpus: int
    mem_mb: int
    minutes: int
    cpus: int
    rule: str = ""

    def remedy(self, what: str) -> str:
        """How to ask for less of gpus, mem_mb, minutes or cpus."""
        return f"add {OPTION[what].format(rule=self.rule)}" if self.rule else REMEDY[what]

    @property
    def origin(self) -> str:
        """Where what it asks for comes from."""
        return (
            f"rule {self.rule} (--set-resources)"
            if self.rule
            else "resources/models.lock.yaml or in the study's execution"
        )


@dataclass(frozen=True)
class Partition:
    """The largest node of one kind in a partition; `minutes` is None where jobs may take any time."""

    name: str
    gpus: int
    mem_mb: int
    minutes: int | None
    cpus: int

    def offers(self, what: str) -> float:
        """How much there is of gpus, mem_mb, minutes or cpus."""
        value = getattr(self, what)
        return float("inf") if value is None else value


class Unreachable(UserError):
    """SLURM does not answer: nothing is known of what it could give."""


def present() -> bool:
    """Whether jobs can be submitted from this machine."""
    return shutil.which("sbatch") is not None


def check(requests: Iterable[Request], wanted: Mapping[str, str]) -> int:
    """Raise UserError unless SLURM would start each of `requests` some day; Unreachable where it does not answer.

    wanted: what every job asks for besides, of the names in COMMON. Returns the memory of the largest node that jobs
    may have, in MB.
    """
    # Without --exact, nodes of several sizes are one line with the size of the smallest.
    shown = _ask("sinfo", "--noheader", "--exact", "--format=%R|%l|%m|%c|%G")
    partitions = read_partitions(shown, wanted.get("gpu_model"))
    known = list(dict.fromkeys(partition.name for partition in partitions))
    named = wanted["slurm_partition"].split(",") if "slurm_partition" in wanted else []
    for name in named:
        if name not in known:
            raise UserError(
                f"{SITE}: slurm_partition={name}: there is no such partition; name one of {', '.join(known)}"
            )
    usable = [partition for partition in partitions if not named or partition.name in named]
    where = f"partition {' or '.join(named)}" if named else "any partition"
    for request in requests:
        _check_size(request, usable, where)
        _check_accepted(request, wanted)
    return max((partition.mem_mb for partition in usable), default=0)


def read_partitions(text: str, gpu_model: str | None = None) -> list[Partition]:
    """The lines of `sinfo --exact --format=%R|%l|%m|%c|%G`; of the GPUs those of `gpu_model` alone, where given."""
    kind = f":{re.escape(gpu_model)}" if gpu_model else "(?::[^:,()]+)?"
    partitions = []
    for line in text.splitlines():
        name, limit, memory, cpus, gres = (word.strip() for word in line.split("|"))
        gpus = sum(int(count) for count in re.findall(rf"\bgpu{kind}:(\d+)", gres))
        partitions.append(Partition(name, gpus, _number(memory), _minutes(limit), _number(cpus)))
    return partitions


def _check_size(request: Request, partitions: list[Partition], where: str) -> None:
    """Refuse what no node has; name the one thing that is too much, where one alone is."""
    for what in REMEDY:
        most = max((partition.offers(what) for partition in partitions), default=0)
        if getattr(request, what) > most:
            raise UserError(
                f"{request.name}: a job asks for {getattr(request, what)} {what}, but no node of {where} gives more "
                f"than {most:.0f}; {request.remedy(what)}, or name another partition in {SITE}"
            )
    if not any(all(getattr(request, what) <= partition.offers(what) for what in REMEDY) for partition in partitions):
        asked = ", ".join(f"{getattr(request, what)} {what}" for what in REMEDY)
        raise UserError(
            f"{request.name}: a job asks for {asked}, which no node of {where} gives at once; "
            f"lower one in {request.origin}, or name another partition in {SITE}"
        )


def _check_accepted(request: Request, wanted: Mapping[str, str]) -> None:
    """Let SLURM itself judge a job that is never submitted: account, quality of service, limits of the site."""
    model = f"{wanted['gpu_model']}:" if "gpu_model" in wanted else ""
    options = {
        "--partition": wanted.get("slurm_partition"),
        "--account": wanted.get("slurm_account"),
        "--qos": wanted.get("qos"),
        "--constraint": wanted.get("constraint"),
        "--gpus": f"{model}{request.gpus}" if request.gpus else None,
        "--mem": request.mem_mb,
        "--time": request.minutes,
        "--cpus-per-task": request.cpus,
        "--nodes": 1,
    }
    given = [f"{option}={value}" for option, value in options.items() if value is not None]
    try:
        _ask("sbatch", "--test-only", *given, "--wrap=true")
    except Unreachable:
        raise
    except UserError as error:
        if TEMPORARY.search(str(error)):
            return
        raise UserError(
            f"{request.name}: {error}; the job was `sbatch {' '.join(given)}`: correct partition, account and the like "
            f"in {SITE}, or what is asked for in {request.origin}"
        ) from error


def _ask(*command: str) -> str:
    """What one of SLURM's commands prints. Raises UserError with its words where it refuses, Unreachable without."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except FileNotFoundError as error:
        raise Unreachable(f"slurm: {command[0]} is not on the PATH; run on a login node of the cluster") from error
    except subprocess.TimeoutExpired as error:
        raise Unreachable(f"slurm: {command[0]} did not answer in {SECONDS} seconds; is the controller up?") from error
    if done.returncode == 0:
        return done.stdout
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if munge := [line for line in said if "munge" in line.lower()]:
        raise Unreachable(
            f"slurm: {command[0]} cannot prove who asks, as munge does not answer ({munge[-1]}); "
            "start munged on this machine, or tell the cluster's administrators"
        )
    words = f"slurm: {command[0]} says `{said[-1] if said else 'nothing'}`"
    if command[0] == "sinfo" or any("contact" in line or "configuration source" in line for line in said):
        raise Unreachable(f"{words}; run on a login node of the cluster, with its controller up")
    raise UserError(words)


def _number(text: str) -> int:
    """`8000` or `8000+`."""
    return int(text.rstrip("+"))


def _minutes(text: str) -> int | None:
    """A time of SLURM, [days-]hours:minutes:seconds, as whole minutes; None where there is no limit."""
    if text in ("infinite", "n/a", "UNLIMITED"):
        return None
    days, _, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    hours, minutes, _seconds = [0] * (3 - len(parts)) + parts
    return int(days or 0) * 1440 + hours * 60 + minutes
