"""What a trained member reached on validation and test pictures, brought to its MLflow run.

There the columns `test/iou`, `test/iou/<class>` … stand beside the options, so that runs can be sorted and compared.
"""

import logging
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskmill.errors import MaskmillError
from maskmill.evaluation.summary import read_case_values
from maskmill.files import write_json
from maskmill.metrics import METRICS
from maskmill.runs import read_run
from maskmill.tracking.record import FOLDER, Record, records_lock
from maskmill.tracking.store import explain, store_uri
from maskmill.tracking.tracker import close_record

logger = logging.getLogger(__name__)


class MemberResults(NamedTuple):
    """Files of a member: its config.yaml, and its metrics of the validation and of the test pictures."""

    config: str | os.PathLike
    validation: str | os.PathLike
    test: str | os.PathLike


def record_results(members: Sequence[MemberResults], uri: str, output: str | os.PathLike) -> None:
    """Bring the results of an experiment's members to MLflow, and write them: run id → name → number.

    A store that does not answer is warned of: the record beside the run keeps them for `maskmill track`.
    """
    written = {}
    for member in members:
        folder = Path(member.config).parent
        run_id = read_run(Path(member.config))["run_id"]
        written[run_id] = describe_results({"validation": member.validation, "test": member.test})
        _record(folder / FOLDER / run_id, written[run_id], store_uri(uri))
    write_json(output, written)


def describe_results(tables: Mapping[str, str | os.PathLike]) -> dict[str, float]:
    """Means over the pictures that have a value: `<split>/<metric>/<class>`, and over classes `<split>/<metric>`.

    tables: split → its table of metrics.
    """
    results = {}
    for split, table in tables.items():
        cases = read_case_values([table])
        for metric in METRICS:
            values = cases.values[metric]
            means = {
                name: float(column[~np.isnan(column)].mean())
                for name, column in zip(cases.classes, values.T, strict=True)
                if not np.isnan(column).all()
            }
            if means:
                results[f"{split}/{metric}"] = float(np.mean(list(means.values())))
            if len(cases.classes) > 1:
                results |= {f"{split}/{metric}/{name}": mean for name, mean in means.items()}
    return results


def _record(folder: Path, results: Mapping[str, float], uri: str) -> None:
    """Enter the results into the record of a training, and send them where MLflow answers."""
    try:
        with records_lock(folder):
            record = Record.read(folder)
            record.add_results(results)
            close_record(record, uri)
            logger.info("MLflow has the results of run %s, %s", folder.name, record.name)
    except (FileNotFoundError, MaskmillError):
        logger.warning("%s is gone, so that MLflow does not get the results of its training", folder)
    except Exception as error:  # whatever ails the store, the results themselves are tables on disk
        logger.warning(
            "MLflow fails (%s); %s keeps the results. When it answers again, send them with: maskmill track %s",
            explain(error, uri), folder, shlex.quote(str(folder.parents[1])),
        )  # fmt: skip
