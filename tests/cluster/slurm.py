"""A SLURM cluster on this machine: munged, slurmctld and a slurmd for each of two nodes, as Debian packages them.

Both nodes are this machine, on the loopback; jobs go to the first one, unless they ask for the partition of both.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PACKAGES = ("slurm-wlm", "slurm-wlm-basic-plugins", "munge")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "setpriv")
CONTROLLER_PORT = 26817
NODES = {"node1": 26818, "node2": 26819}
"""Names of the nodes, and their ports."""

SYSTEM_CONFIG = Path("/etc/slurm/slurm.conf")
NODE_CPUS = 2

CONFIG = """\
ClusterName=maskmill
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/run/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
# no cgroups, so that it runs in containers too; memory is watched by polling, and who takes too much is ended
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
# submissions cause no scheduling cycle of their own, which would be put off by seconds
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=1,sched_interval=1
SlurmdParameters=config_overrides
MpiDefault=none
# without an accounting database, jobs that ended are known to squeue for as long
AccountingStorageType=accounting_storage/none
MinJobAge=3600
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs.log
ReturnToService=2
KillWait=2
DefMemPerCPU=512
GresTypes=gpu
NodeName=DEFAULT CPUs={cpus} RealMemory={memory} Gres=gpu:2 Features=fast State=UNKNOWN
{nodes}
PartitionName=main Nodes=node1 Default=YES MaxTime=INFINITE State=UP
PartitionName=training Nodes=node1 MaxTime=1-0 State=UP
PartitionName=both Nodes=ALL MaxTime=1-0 State=UP
"""


def missing() -> str:
    """Why there cannot be a cluster here, and what to do; empty where there can."""
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    if lacking:
        return f"{', '.join(lacking)} not found; `make test-cluster` as root, or apt-get install {' '.join(PACKAGES)}"
    if os.geteuid() != 0:
        return "the daemons of SLURM need root; run `make test-cluster` as root, in a container for instance"
    if SYSTEM_CONFIG.exists() and not SYSTEM_CONFIG.is_symlink():
        return f"this machine has a SLURM of its own ({SYSTEM_CONFIG} exists), which is left alone"
    return ""


class Slurm:
    """The cluster, between `start` and `stop`. folder: for keys, configuration, logs and state."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._daemons: list[subprocess.Popen] = []

    @property
    def finished_jobs(self) -> str:
        """A line for each job that ended, as SLURM wrote it."""
        file = self._folder / "jobs.log"
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def node_log(self) -> str:
        """What the first node's daemon wrote, and the controller."""
        return "".join((self._folder / f"{name}.log").read_text("utf-8") for name in ("slurmd-node1", "slurmctld"))

    def start(self) -> None:
        """Start the daemons, which end with this process, and wait until the nodes are idle."""
        self._start_munged()
        self._configure()
        self.start_controller()
        for node in NODES:
            self._start_daemon("slurmd", "-N", node)
        wait_for(self.is_up, 60)

    def stop_controller(self) -> None:
        """End slurmctld; jobs and the nodes' daemons live on."""
        self._controller.send_signal(signal.SIGTERM)
        self._controller.wait(20)

    def start_controller(self) -> None:
        """Start slurmctld, which takes up what it knew, and wait until it answers."""
        self._controller = self._start_daemon("slurmctld")

    def stop(self) -> None:
        """End all jobs, then the daemons."""
        if self._answers("sinfo"):
            self.cancel_all()
        for daemon in reversed(self._daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        if SYSTEM_CONFIG.is_symlink() and SYSTEM_CONFIG.readlink() == self._folder / "slurm.conf":
            SYSTEM_CONFIG.unlink()

    def run(self, *command: str) -> str:
        """Output of a command of SLURM; CalledProcessError where it fails."""
        done = subprocess.run(command, text=True, capture_output=True, check=False, timeout=60)
        if done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def jobs(self, state: str, rule: str = "") -> list[str]:
        """Numbers of the jobs in a state (RUNNING, PENDING, …), of one rule where it is given, oldest first."""
        lines = self.run("squeue", "--noheader", f"--states={state}", "--sort=i", "--format=%i|%k").splitlines()
        return [number for number, _, comment in (line.partition("|") for line in lines) if rule in comment]

    def states(self) -> list[str]:
        """State of every job since the start, oldest first."""
        return self.run("squeue", "--noheader", "--states=all", "--sort=i", "--format=%T").split()

    def show(self, job: str) -> dict[str, str]:
        """What `scontrol show job` knows."""
        words = self.run("scontrol", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def is_up(self) -> bool:
        """Whether all nodes take jobs; sinfo may call one "mixed" or "planned" for minutes after its last job."""
        return all(self.node_state(node) in ("idle", "mixed", "planned") for node in NODES)

    def node_state(self, node: str = "node1") -> str:
        """Such as "idle", "planned", "mixed", "drained", "down"."""
        return self.run("sinfo", "--noheader", "--partition=both", f"--nodes={node}", "--format=%T").strip()

    def set_node(self, state: str, node: str = "node1") -> None:
        """Set a node's state: DRAIN, DOWN or RESUME."""
        self.run("scontrol", "update", f"NodeName={node}", f"State={state}", "Reason=test")

    def cancel_all(self) -> None:
        """Cancel whatever waits or runs, and wait until nothing does."""
        self.run("scancel", "--user=root")
        wait_for(lambda: not self.run("squeue", "--noheader").strip(), 60)

    def _start_daemon(self, *command: str) -> subprocess.Popen:
        daemon = _start([*command, "-D", "-f", str(self._folder / "slurm.conf")])
        self._daemons.append(daemon)
        wait_for(lambda: self._answers("sinfo"), 30)
        return daemon

    def _answers(self, *command: str) -> bool:
        try:
            return subprocess.run(command, capture_output=True, check=False, timeout=5).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def _start_munged(self) -> None:
        folder = self._folder / "munge"
        (folder / "run").mkdir(parents=True)
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        folder.chmod(0o711)
        (folder / "run").chmod(0o755)
        socket_ = folder / "run/munge.socket"
        files = {"key-file": key, "socket": socket_, "log-file": folder / "munged.log"}
        files |= {"pid-file": folder / "munged.pid", "seed-file": folder / "munged.seed"}
        options = [f"--{name}={file}" for name, file in files.items()]
        self._daemons.append(_start(["munged", "--foreground", "--force", *options]))
        wait_for(socket_.exists, 10)

    def _configure(self) -> None:
        """Write the configuration where every program of SLURM finds it, those that Snakemake starts in jobs too."""
        folder = self._folder
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (folder / name).mkdir()
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 - 512
        host = socket.gethostname().split(".")[0]
        nodes = "\n".join(
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port}" for node, port in NODES.items()
        )
        config = CONFIG.format(
            folder=folder, host=host, port=CONTROLLER_PORT, nodes=nodes, cpus=NODE_CPUS, memory=memory
        )
        (folder / "slurm.conf").write_text(config, encoding="utf-8")
        devices = [folder / f"gpu{number}" for number in range(2)]  # counted by the scheduler, looked at by nobody
        for device in devices:
            device.touch()
        lines = [f"NodeName={','.join(NODES)} Name=gpu File={device}\n" for device in devices]
        (folder / "gres.conf").write_text("".join(lines), encoding="utf-8")
        SYSTEM_CONFIG.parent.mkdir(exist_ok=True)
        SYSTEM_CONFIG.unlink(missing_ok=True)
        SYSTEM_CONFIG.symlink_to(folder / "slurm.conf")


def _start(command: list[str]) -> subprocess.Popen:
    """Start a daemon that is killed where this process ends without stopping it."""
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def wait_for(condition: Callable[[], object], seconds: float) -> None:
    """Wait until `condition()` holds; AssertionError after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(0.2)
