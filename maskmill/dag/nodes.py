"""Trainings on several nodes, which need a job of SLURM; standard library only."""

import os


def lonely_words(nodes: int) -> str | None:
    """What is to be said where trainings on so many nodes are started by this very machine; None where that is well.

    Within a job of SLURM it is: the training itself looks whether the job has enough nodes.
    """
    if nodes == 1 or "SLURM_JOB_ID" in os.environ:
        return None
    return (
        f"train.nodes is {nodes}, but this run starts its jobs on this machine alone. It is SLURM that starts "
        "processes on other nodes: run with --workflow-profile profiles/slurm (docs/cluster.md), or set train.nodes to "
        "1 and train.devices to the number of processes."
    )
