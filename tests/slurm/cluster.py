"""A real SLURM of one node on this machine, for tests: Debian's daemons, in a mount namespace and a directory.

Nothing outside the directory is written: SLURM's commands find their configuration at /etc/slurm alone (the executor
plugin takes SLURM_CONF away), so that the cluster's own is mounted there, in the namespace where its commands run.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

CPUS = 2
MEMORY_MB = 8000
GPUS = 2
MINUTES = 60  # a job may take at most, in partition `gpu`
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "unshare", "nsenter")

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
AuthType=auth/munge
# A requeued job waits for as long as credentials of its first start are valid.
AuthInfo=socket={directory}/munge/socket,cred_expire=10
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
SchedulerParameters=bf_interval=2,sched_interval=2
ReturnToService=2
MinJobAge=600
KillWait=3
# The node is what this file says, whatever the machine has.
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd.log
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN
PartitionName=gpu Nodes={host} Default=YES MaxTime={minutes} State=UP
"""


def lacking() -> str:
    """Why no cluster can run here, empty where one can."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    if missing := [name for name in PROGRAMS if shutil.which(name, path=path) is None]:
        return f"not installed: {', '.join(missing)} (Debian: apt-get install slurm-wlm munge)"
    if os.geteuid() != 0:
        return "a cluster of one's own needs root"
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        return "a cluster of one's own needs a mount namespace, which this machine refuses"
    return ""


class Cluster:
    """A running cluster below `directory`; a context manager. Node: 2 CPUs, 8,000 MB, 2 GPUs that are none."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.node = socket.gethostname().partition(".")[0]
        self._processes: list[subprocess.Popen] = []

    def __enter__(self) -> "Cluster":
        for name in ("munge", "etc", "state", "spool", "gpu"):
            (self.directory / name).mkdir(parents=True, mode=0o711)
        # Clients of munge look the socket up by its whole path.
        for place in (self.directory, *self.directory.parents):
            if place.stat().st_uid == os.geteuid() and place != Path("/"):
                place.chmod(place.stat().st_mode | 0o111)
        self._write_configuration()
        try:
            self.start_munge()
            etc = self.directory / "etc"
            script = f"mkdir -p /etc/slurm && mount --bind {etc} /etc/slurm && exec sleep infinity"
            self._processes.append(subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", script]))
            self._wait(lambda: self.run("test", "-f", "/etc/slurm/slurm.conf").returncode == 0, "the mount")
            for daemon in ("slurmctld", "slurmd"):
                command = self.command(daemon, "-D")
                self._processes.append(
                    subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment())
                )
            self._wait(lambda: self.run("sinfo", "-h", "-o", "%t").stdout.strip() == "idle", "the node")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if len(self._processes) > 1:
            self.run("scancel", "--user", "root", "--signal=KILL", "--full")
            self.run("scancel", "--user", "root")
        # The daemons before the namespace, munge last.
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def start_munge(self) -> None:
        """Start the daemon that signs who asks; `stop_munge` ends it."""
        place = self.directory / "munge"
        key = place / "key"
        if not key.exists():
            key.write_bytes(os.urandom(1024))
            key.chmod(0o400)
        files = {"key-file": key, "socket": place / "socket", "pid-file": place / "pid", "log-file": place / "log"}
        command = ["munged", "--foreground", "--force", *(f"--{name}={path}" for name, path in files.items())]
        command.append(f"--seed-file={place / 'seed'}")
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment())
        self._processes.insert(0, process)
        self._wait(lambda: (place / "socket").exists(), "munge")

    def stop_munge(self) -> None:
        """End it: nobody can submit or ask until it is started again."""
        process = self._processes.pop(0)
        process.terminate()
        process.wait()

    def command(self, *command: str) -> list[str]:
        """`command` as it runs in the cluster's namespace."""
        holder = self._processes[1].pid
        return ["nsenter", f"--target={holder}", "--mount", f"--wd={os.getcwd()}", "--", *command]

    def start(self, *command: str, cwd: Path, **options: object) -> subprocess.Popen:
        """Start `command` in the cluster, in the directory `cwd`."""
        entered = self.command(*command)
        entered[3] = f"--wd={cwd}"
        return subprocess.Popen(entered, **options)

    def run(self, *command: str) -> subprocess.CompletedProcess:
        """Run one of SLURM's commands."""
        return subprocess.run(self.command(*command), capture_output=True, text=True, timeout=60, env=_environment())

    def jobs(self) -> list[dict[str, str]]:
        """Every job that was submitted so far, by `scontrol show job`."""
        shown = self.run("scontrol", "-o", "-d", "show", "job").stdout
        lines = [line for line in shown.splitlines() if line.startswith("JobId=")]
        return [dict(word.partition("=")[::2] for word in line.split() if "=" in word) for line in lines]

    def running(self, rule: str) -> list[str]:
        """Numbers of the running jobs of the rules whose name begins with `rule`."""
        shown = self.run("squeue", "-h", "-t", "running", "-o", "%A %k").stdout
        jobs = [line.split(maxsplit=1) for line in shown.splitlines()]
        return [number for number, comment in jobs if comment.startswith(f"rule_{rule}")]

    def _write_configuration(self) -> None:
        ports = _free_ports(2)
        etc = self.directory / "etc"
        text = CONFIGURATION.format(
            host=self.node, controller=ports[0], daemon=ports[1], directory=self.directory, cpus=CPUS, memory=MEMORY_MB,
            gpus=GPUS, minutes=MINUTES,
        )  # fmt: skip
        (etc / "slurm.conf").write_text(text)
        devices = [self.directory / "gpu" / f"nvidia{number}" for number in range(GPUS)]
        for device in devices:
            # SLURM wants character devices; these are /dev/null.
            os.mknod(device, 0o666 | 0o020000, os.makedev(1, 3))
        (etc / "gres.conf").write_text("".join(f"NodeName={self.node} Name=gpu File={path}\n" for path in devices))
        (etc / "cgroup.conf").write_text("CgroupAutomount=no\n")

    def _wait(self, condition, what: str) -> None:
        deadline = time.monotonic() + 40
        while not condition():
            if time.monotonic() > deadline:
                logs = [path.read_text(errors="replace")[-2000:] for path in self.directory.glob("*.log")]
                raise RuntimeError(f"the cluster did not start: {what} is not there\n" + "\n".join(logs))
            time.sleep(0.2)


def _environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}


def _free_ports(count: int) -> Sequence[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
