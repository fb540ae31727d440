"""What the trainings of a run left, read for its pages: summaries, curves, operating points, exports."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from maskmill.errors import MaskmillError
from maskmill.evaluation.averages import MEAN
from maskmill.evaluation.comparison import HEADLINE, describe_interval, show_range, show_value, verdict_sentence
from maskmill.evaluation.summary import deployed_results, validation_score
from maskmill.files import read_json, read_table, sha256_file
from maskmill.metrics import METRICS
from maskmill.planning.plan import read_plan
from maskmill.runs import read_run
from maskmill.wording import count_of

_EXPORTED = "ONNX Runtime FP32"
_IDENTITY = ("run_id", "experiment", "fold", "seed")


class TrainingFiles(NamedTuple):
    """Files of one member: plan, config, history, test metrics, test masks, operating_point.json, weights, seams.

    validation: its metrics on validation. uncertainty: JSON of `measure_uncertainty` on the test; maps: its folder.
    The last six are the report's alone.
    """

    name: str
    plan: str | PathLike
    config: str | PathLike
    history: str | PathLike
    metrics: str | PathLike
    masks: str | PathLike
    point: str | PathLike = ""
    model: str | PathLike = ""
    seams: str | PathLike = ""
    validation: str | PathLike = ""
    uncertainty: str | PathLike = ""
    maps: str | PathLike = ""


class EnsembleFiles(NamedTuple):
    """Files of an experiment's members together, named as in `TrainingFiles`; the last three are the report's alone."""

    metrics: str | PathLike
    masks: str | PathLike
    point: str | PathLike
    seams: str | PathLike = ""
    uncertainty: str | PathLike = ""
    maps: str | PathLike = ""


class ExperimentFiles(NamedTuple):
    """An experiment's members and files: summary.json, runtimes.csv, parity.json, model.onnx; where its bundle is.

    ensemble: of all members together, where that is deployed. trials: table of those of its search, where it has one;
    parity, onnx, bundle and trials are the report's alone.
    """

    name: str
    members: Sequence[TrainingFiles]
    summary: str | PathLike
    runtimes: str | PathLike
    parity: str | PathLike = ""
    onnx: str | PathLike = ""
    bundle: str | PathLike = ""
    trials: str | PathLike = ""
    ensemble: EnsembleFiles | None = None

    @property
    def deployed_metrics(self) -> list[str | PathLike]:
        """Tables of test metrics of what is deployed: of the ensemble, or of every member, which stand for the best."""
        return [self.ensemble.metrics] if self.ensemble else [member.metrics for member in self.members]


def experiment_files(
    experiments: Sequence[str],
    members: Sequence[str],
    of_members: Mapping[str, Sequence[str]],
    of_experiments: Mapping[str, Sequence[str]],
    of_ensembles: Mapping[str, Sequence[str]],
) -> list[ExperimentFiles]:
    """Sort lists of files by experiment and member.

    of_members: field of `TrainingFiles` → files of the first experiment's members, then those of the second's, and so
    on. of_experiments: field of `ExperimentFiles` → one file an experiment. of_ensembles: field of `EnsembleFiles` →
    likewise, or no file at all where none is deployed. Raises ValueError where a list has another length.
    """
    pairs = [(experiment, member) for experiment in experiments for member in members]
    trainings: dict[str, list[TrainingFiles]] = {experiment: [] for experiment in experiments}
    for (experiment, member), *files in zip(pairs, *of_members.values(), strict=True):
        trainings[experiment].append(TrainingFiles(member, **dict(zip(of_members, files, strict=True))))
    ensembles: dict[str, EnsembleFiles] = {}
    if any(of_ensembles.values()):
        for name, *files in zip(experiments, *of_ensembles.values(), strict=True):
            ensembles[name] = EnsembleFiles(**dict(zip(of_ensembles, files, strict=True)))
    return [
        ExperimentFiles(
            name, trainings[name], ensemble=ensembles.get(name), **dict(zip(of_experiments, files, strict=True))
        )
        for name, *files in zip(experiments, *of_experiments.values(), strict=True)
    ]


@dataclass(frozen=True)
class Training:
    """A member as it was trained."""

    files: TrainingFiles
    config: dict[str, Any]
    history: list[dict[str, float | None]]

    @classmethod
    def read(cls, files: TrainingFiles) -> "Training":
        """Read the configuration and the history."""
        history = [{key: _number(cell) for key, cell in row.items()} for row in read_table(files.history)]
        if not history:
            raise MaskmillError(f"{files.history} has no epoch; train {files.name} again")
        return cls(files, read_run(Path(files.config)), history)

    @property
    def kept(self) -> dict[str, float | None]:
        """The epoch whose weights were kept: best validation IoU, the lower validation loss among equals."""
        return max(self.history, key=lambda epoch: (epoch["validation_iou"] or 0.0, -epoch["validation_loss"]))

    @property
    def seconds(self) -> float:
        """Time of all epochs."""
        return sum(epoch["seconds"] for epoch in self.history)

    @property
    def peak_memory_mb(self) -> float | None:
        """The most memory it took (see `maskmill.training.compute.peak_memory_mb`), where its history has that."""
        return max(filter(None, (epoch.get("peak_memory_mb") for epoch in self.history)), default=None)

    @cached_property
    def plan(self) -> dict[str, Any]:
        """The plan of its fold (see `make_plan`): proposals with reasons, the network's summary, memory."""
        return read_plan(self.files.plan)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        return sha256_file(self.files.model)


@dataclass(frozen=True)
class Experiment:
    """An experiment with its trainings; `summary` is described at `summarize_experiment`."""

    files: ExperimentFiles
    summary: dict[str, Any]
    trainings: list[Training]

    @classmethod
    def read(cls, files: ExperimentFiles) -> "Experiment":
        """Read the summary and the trainings; everything else is read when it is asked for."""
        return cls(files, read_json(files.summary), [Training.read(member) for member in files.members])

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.files.name

    @property
    def best(self) -> Training:
        """The member that is best on validation."""
        return next(one for one in self.trainings if one.files.name == self.summary["best_member"])

    @property
    def deployed(self) -> TrainingFiles | EnsembleFiles:
        """Files of what is exported: of the ensemble where there is one, else of the best member."""
        return self.files.ensemble or self.best.files

    @property
    def deployed_name(self) -> str:
        """What is exported, in words; empty where there is but one training."""
        if len(self.trainings) == 1:
            return ""
        if self.files.ensemble:
            return f"the ensemble of its {len(self.trainings)} trainings"
        return f"{self.best.files.name}, the training that is best on validation"

    @cached_property
    def results(self) -> dict[str, Any]:
        """The summary with the test results of what is deployed."""
        return deployed_results(self.summary)

    @property
    def peak_memory_mb(self) -> float | None:
        """The most memory that one of the trainings took."""
        return max(filter(None, (training.peak_memory_mb for training in self.trainings)), default=None)

    @cached_property
    def parity(self) -> dict[str, Any]:
        """The verdict on the exports (see `check_parity`)."""
        return read_json(self.files.parity)

    @cached_property
    def runtimes(self) -> list[dict[str, str | float | None]]:
        """What each runtime costs (see `benchmark_runtimes`); PyTorch first, then the exports."""
        return [
            {key: cell if key in ("runtime", "tile", "hardware") else _number(cell) for key, cell in row.items()}
            for row in read_table(self.files.runtimes)
        ]

    @property
    def exported(self) -> dict[str, str | float | None]:
        """The row of `runtimes` of the exported model."""
        return next(row for row in self.runtimes if row["runtime"] == _EXPORTED)

    @cached_property
    def point(self) -> dict[str, Any]:
        """The operating point of what is deployed and the scores behind it (see `choose_operating_point`)."""
        return read_json(self.deployed.point)

    @property
    def validation_iou(self) -> float:
        """Mean IoU on validation, averaged over the members, or the ensemble's; −1 where none is defined."""
        if self.files.ensemble:
            score = validation_score(self.point)
            return -1.0 if score is None else score
        scores = [member["validation"]["mean_iou"] for member in self.summary["members"]]
        defined = [score for score in scores if score is not None]
        return sum(defined) / len(defined) if defined else -1.0

    @cached_property
    def trials(self) -> list[dict[str, str]]:
        """The trials of its search (see `choose_trial`), the best first; none where it has no search."""
        rows = read_table(self.files.trials) if self.files.trials else []
        return sorted(rows, key=lambda row: -float(row["score"] or "-inf"))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the exported model."""
        return sha256_file(self.files.onnx)

    def differences(self, other: "Experiment") -> dict[str, tuple[Any, Any]]:
        """Options in which the trainings differ from those of `other`: dotted name → (value here, value there)."""
        here, there = (dict(_flatten(one.best.config)) for one in (self, other))
        names = [name for name in here | there if name not in _IDENTITY]
        pairs = {name: (here.get(name, "–"), there.get(name, "–")) for name in names}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def choose_experiment(experiments: Sequence[Experiment]) -> Experiment:
    """The experiment with the best `validation_iou`, the first among equals. The test chooses nothing."""
    return max(experiments, key=lambda experiment: experiment.validation_iou)


def verdict_sentences(best: Experiment, experiments: Sequence[Experiment], comparison: str | PathLike) -> list[str]:
    """What the report opens with: the best experiment's result, how it was chosen, and how the others compare."""
    if len(experiments) > 1:
        opening = [
            _result_sentence(best, f"The best experiment, {best.name},"),
            f"It is the best of {len(experiments)} on the validation pictures; the test pictures chose nothing.",
        ]
    else:
        opening = [_result_sentence(best, f"The experiment {best.name}")]
    opening[1:1] = _members_sentence(best)
    headline = [row for row in read_table(comparison) if row["class"] == MEAN and row["metric"] == HEADLINE]
    return opening + [verdict_sentence(_typed(row)) for row in headline if row["compared_with"]]


def _members_sentence(experiment: Experiment) -> list[str]:
    """How an ensemble relates to its members; nothing where none is deployed, or its members have no result."""
    alone = experiment.summary["test"][MEAN][HEADLINE]
    if not experiment.files.ensemble or alone["mean"] is None:
        return []
    return [
        f"That is the result of {experiment.deployed_name}, which is what is deployed; by themselves the trainings "
        f"reach {show_value(alone)} on average, {show_range(alone, 'member')}."
    ]


def _result_sentence(experiment: Experiment, subject: str) -> str:
    test = experiment.results["test"]
    label = METRICS[HEADLINE].label
    classes = experiment.summary["classes"]
    mean = test[MEAN][HEADLINE]
    if mean["mean"] is None:
        return f"{subject} has no {label}: no test picture has a class in it, and none was found."
    groups, pictures = count_of(mean["n_groups"], "group"), count_of(mean["n_cases"], "test picture")
    interval = describe_interval(mean, experiment.summary["level"])
    if len(classes) == 1:
        return f"{subject} reaches an {label} of {show_value(mean)} on {pictures} of {groups} ({interval})."
    by_class = ", ".join(f"{name} {show_value(test[name][HEADLINE])}" for name in classes)
    return f"{subject} reaches a mean {label} of {show_value(mean)} on {pictures} of {groups} ({interval}): {by_class}."


def _typed(row: Mapping[str, str]) -> dict[str, Any]:
    """A row of comparison.csv with numbers as numbers and None for empty cells."""
    counts = ("n_cases", "n_groups", "undefined", "paired_cases", "paired_groups", "groups_for_verdict")
    numbers = ("mean", "low", "high", "difference", "difference_low", "difference_high", "p", "p_holm")
    return row | {key: int(row[key]) for key in counts} | {key: _number(row[key]) for key in numbers}


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


def _flatten(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
