"""What a trained member reached on validation and test pictures, brought to its MLflow run.

There the columns `test/iou`, `test/iou/<class>` … stand beside the options, so that runs can be sorted and compared.
An ensemble is a run of its own, with the options of its members.
"""

import logging
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskmill.errors import MaskmillError
from maskmill.evaluation.averages import read_case_values
from maskmill.evaluation.summary import extra_columns, validation_score
from maskmill.files import read_json, sha256_json, write_json
from maskmill.runs import joined_run_id, read_run
from maskmill.tracking.record import FOLDER, Record, open_record, records_lock
from maskmill.tracking.store import explain, store_uri
from maskmill.tracking.tracker import close_record

logger = logging.getLogger(__name__)


class MemberResults(NamedTuple):
    """Files of a member: its config.yaml, and its metrics of the validation and of the test pictures.

    extra: its extra metrics of the test pictures; None where none are measured.
    """

    config: str | os.PathLike
    validation: str | os.PathLike
    test: str | os.PathLike
    extra: str | os.PathLike | None = None


class EnsembleResults(NamedTuple):
    """Files of all members together: operating_point.json, and the metrics of the test pictures below its folder.

    extra: as of `MemberResults`.
    """

    point: str | os.PathLike
    test: str | os.PathLike
    extra: str | os.PathLike | None = None


def record_results(
    members: Sequence[MemberResults], uri: str, output: str | os.PathLike, ensemble: EnsembleResults | None = None
) -> None:
    """Bring the results of an experiment's members to MLflow, and write them: run id → name → number.

    ensemble: of the members together, where that is deployed; it gets an MLflow run of its own.
    A store that does not answer is warned of: the record beside the run keeps them for `maskmill track`.
    """
    written = {}
    for member in members:
        folder = Path(member.config).parent
        run_id = read_run(Path(member.config))["run_id"]
        written[run_id] = describe_results({"validation": member.validation, "test": member.test}, member.extra)
        bring_results(folder, run_id, written[run_id], uri)
    if ensemble is not None:
        run_id = joined_run_id(list(written))
        written[run_id] = describe_results({"test": ensemble.test}, ensemble.extra)
        iou = validation_score(read_json(ensemble.point))
        written[run_id] |= {} if iou is None else {"validation/iou": iou}
        folder = Path(ensemble.point).parent
        if _open_ensemble(folder / FOLDER / run_id, [Path(member.config) for member in members], ensemble):
            bring_results(folder, run_id, written[run_id], uri)
    write_json(output, written)


def bring_results(folder: Path, run_id: str, results: Mapping[str, float], uri: str) -> None:
    """Enter results, name → number, into the record of a training in its folder, and send them where MLflow answers."""
    _record(folder / FOLDER / run_id, results, store_uri(uri))


def _open_ensemble(folder: Path, configs: Sequence[Path], ensemble: EnsembleResults) -> bool:
    """Write the record of an ensemble from those of its members, together; False where one is gone."""
    try:
        records = [Record.read(config.parent / FOLDER / read_run(config)["run_id"]) for config in configs]
    except (FileNotFoundError, MaskmillError) as error:
        logger.warning("MLflow does not get the ensemble, since the record of a member is gone: %s", error)
        return False
    first = records[0]
    digests = [record.tags["data_digest"] for record in records]
    data_digest = digests[0] if len(set(digests)) == 1 else sha256_json(digests)
    with records_lock(folder):
        record = open_record(
            folder,
            first_epoch=1,
            uri=first.uri,
            experiment=first.experiment,
            name=f"{first.tags['experiment']}/ensemble",
            mlflow_run=None,
            tags=_together([record.tags for record in records]) | {"run_id": folder.name, "data_digest": data_digest},
            params=_together([record.params for record in records]),
            source=first.source,
            samples=first.samples,
            environment=first.environment,
        )
        record.end("FINISHED", [ensemble.point, ensemble.test])
        record.save()
    return True


def _together(mappings: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The different values of each key of the first, such as "seed": "0, 1"."""
    return {key: ", ".join(dict.fromkeys(one[key] for one in mappings if key in one)) for key in mappings[0]}


def describe_results(
    tables: Mapping[str, str | os.PathLike], extra: str | os.PathLike | None = None
) -> dict[str, float]:
    """Means over the pictures that have a value: `<split>/<metric>/<class>`, and over classes `<split>/<metric>`.

    tables: split → its table of metrics. extra: the table of extra metrics of the test.
    """
    measured = [(split, read_case_values([table])) for split, table in tables.items()]
    if extra is not None:
        measured.append(("test", read_case_values([extra], extra_columns(extra))))
    results = {}
    for split, cases in measured:
        for metric, values in cases.values.items():
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
