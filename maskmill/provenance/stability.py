"""Which files of a results folder are the same bytes whenever they are made again, and which no rule makes."""

import re
from pathlib import PurePosixPath

UNSTABLE = (
    # times and peak memory, and what shows them
    *("history.csv", "summary.json", "runtimes.csv", "comparison.csv", "comparison.html", "report.html"),
    *("trials.csv", "score.json", "parity.json", "engine_parity.json", "bundle.json"),
    # what MLflow numbers by chance, and where it is
    *("recorded.json", "registered.json", "tracking_store.json"),
    # engines are of a device and a driver
    *("*.engine", "*.engine.json"),
    # drawn by font libraries
    *("*.html", "training.png"),
)
"""Names of files that no promise covers."""

PRIVATE = re.compile(
    r"runs/[^/]+/[^/]+/(state|tensorboard|tracking)/|experiments/[^/]+/search/[^/]+/run/"
    r"|segmented/state/|experiments/tensorrt_timings/|code/(.+/)?__pycache__/"
)
"""Folders that are no output of a rule: a training's state and what is still to be sent of it to MLflow, trainings of
trials, TensorRT's timings.

Where they lie counts, not what they are called: folders of people's pictures may have the same names.
"""

ON_DEMAND = ("segmented", "proposed", "proposals")
"""Folders of results that other commands than the plain `snakemake` write, whenever a person asks for them."""

RECORD = "provenance.json"
CRATE = "ro-crate-metadata.json"
CODE = "code"
"""What `describe_provenance` writes."""


def is_stable(name: str) -> bool:
    """Whether a file, named relative to the results folder, is promised to be the same bytes in another run."""
    return not any(PurePosixPath(name).match(pattern) for pattern in UNSTABLE)


def is_private(name: str) -> bool:
    """Whether a file, named relative to the results folder, is no artifact: hidden, or kept by a job for itself."""
    return bool(PRIVATE.match(name)) or any(part.startswith(".") for part in PurePosixPath(name).parts)
