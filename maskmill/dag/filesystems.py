"""Which files lie on a network file system, where SQLite's locks cannot be relied on."""

import os
from collections.abc import Sequence
from pathlib import Path

import psutil

NETWORK = {
    "afs", "beegfs", "beegfs_nodev", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs",
    "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "wekafs",
}  # fmt: skip
"""Types of file systems, in the words of the table of mounts, that several hosts write to."""

SQLITE = "sqlite:///"


def network_filesystem(path: str | os.PathLike, mounts: Sequence[tuple] | None = None) -> str | None:
    """The type of the network file system that holds `path`, which need not exist, such as "nfs4"; None of a local one.

    mounts: (device, mount point, type, …) in the order of mounting, where it is not to be asked of the system.
    """
    if mounts is None:
        mounts = psutil.disk_partitions(all=True)
    place = Path(path).resolve()
    holding = [
        (len(Path(point).parts), number, kind)
        for number, (_, point, kind, *_) in enumerate(mounts)
        if place.is_relative_to(point)
    ]
    if not holding:
        return None
    kind = max(holding)[2]  # the deepest; of several in one place the last, which hides the others
    return kind if kind in NETWORK else None


def store_words(uri: str, mounts: Sequence[tuple] | None = None) -> str | None:
    """What is to be said of an MLflow store that is a SQLite file on a network file system; None of every other store.

    uri: the option `tracking.uri`; the environment variable MLFLOW_TRACKING_URI wins over it.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or uri
    if not uri.startswith(SQLITE):
        return None
    file = Path(uri.removeprefix(SQLITE)).absolute()
    kind = network_filesystem(file, mounts)
    if kind is None:
        return None
    return (
        f"MLflow's database {file} lies on a network file system ({kind}). SQLite's locks do not hold there: trainings "
        "on several nodes can lose what they report, or spoil the file. Weights and masks are safe, and each training "
        "keeps a record of its own beside them. Run an MLflow server (docs/tracking.md, A server) and give its address "
        "as tracking.uri or in MLFLOW_TRACKING_URI, or put the file on a local disk where all jobs run on one node."
    )
