"""The nodes of a SLURM job, and how a process is started on another one: by `srun`, within the job.

SLURM tells what that process needs: it forwards standard input and output and ends the process with its `srun`.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping

from maskmill.errors import MaskmillError

JOB = "SLURM_JOB_ID"
NODE = "SLURMD_NODENAME"
LEADER = "SLURM_LAUNCH_NODE_IPADDR"
"""Variable of a process that `srun` started: the address of the node where `srun` itself runs, which is reachable."""

SECONDS_TO_START = 60
"""That SLURM has for finding room within the job, which nothing else uses."""

SRUN = (
    "srun", f"--immediate={SECONDS_TO_START}", "--overlap", "--nodes=1", "--ntasks=1", "--cpu-bind=none",
    "--unbuffered",
)  # fmt: skip
"""One process that shares all that the job has on its node with the others there."""

KEPT = (JOB, "SLURM_CONF", "SLURM_CLUSTER_NAME")


def nodes_beside(wanted: int) -> list[str]:
    """Names of the nodes of this job of SLURM other than this process's; none where one node is wanted.

    Raises MaskmillError where the job does not have `wanted` nodes, or where this is no job of SLURM.
    """
    if wanted == 1:
        return []
    if JOB not in os.environ or NODE not in os.environ or shutil.which("srun") is None:
        raise MaskmillError(
            f"train.nodes is {wanted}, but this process is in no job of SLURM, which alone can start processes on "
            "other nodes; run with --workflow-profile profiles/slurm (docs/cluster.md), or set train.nodes to 1 and "
            "train.devices to the number of processes"
        )
    ranges = _ask("squeue", "--noheader", f"--jobs={os.environ[JOB]}", "--format=%N")
    nodes = _ask("scontrol", "show", "hostnames", ranges).split()
    if len(nodes) != wanted or os.environ[NODE] not in nodes:
        raise MaskmillError(
            f"train.nodes is {wanted}, but SLURM's job {os.environ[JOB]} has {len(nodes)}: {', '.join(nodes)}; leave "
            "the resources nodes and tasks of the rule as they are, or reserve as many nodes as train.nodes says"
        )
    return [node for node in nodes if node != os.environ[NODE]]


def on_node(node: str) -> list[str]:
    """What to put before a command so that it runs on another node of the job, with `environment_for_srun`."""
    return [*SRUN, f"--nodelist={node}"]


def environment_for_srun(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` without what SLURM told this process: `srun` would take it for options."""
    return {
        name: value
        for name, value in environment.items()
        if name in KEPT or not name.startswith(("SLURM_", "SLURMD_", "SRUN_"))
    }


def _ask(*command: str) -> str:
    """What a program of SLURM says; MaskmillError where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MaskmillError(f"SLURM does not tell the nodes of its job: {' '.join(command)}: {done.stderr.strip()}")
    return done.stdout.strip()
