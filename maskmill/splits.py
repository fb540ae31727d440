"""Divide the samples into training, validation and test without ever dividing a group (scene, patient, site)."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from maskmill.classes import IGNORE
from maskmill.errors import MaskmillError
from maskmill.files import read_table, write_table

CANDIDATES = 500
FEW_GROUPS = 3

logger = logging.getLogger(__name__)


def split_samples(
    samples: str, label_dirs: Sequence[str], test: float, validation: float, folds: int, seed: int, output: str
) -> None:
    """Write splits.csv: id, group, shard and, for every fold, the part ("train", "validation", "test") of each sample.

    samples: path of samples.csv. label_dirs: folders with the statistics.csv of the shards. test and
    validation are shares of all samples. With one fold, `validation` of the
    samples are for validation; with more, every group that is not for testing is for validation in exactly one fold.

    Raises MaskmillError where there are too few groups.
    """
    rows = read_table(samples)
    names, membership = np.unique([row["group"] for row in rows], return_inverse=True)
    shares = part_shares(test, validation, folds)
    _check_groups(names.tolist(), len(shares))
    weights = _group_weights(rows, membership, len(names), label_dirs)
    parts = assign_parts(weights, shares, seed)
    columns = {f"fold{fold}": _fold_names(parts, fold, folds)[membership] for fold in range(folds)}
    table = [
        {key: row[key] for key in ("id", "group", "shard")} | {fold: values[i] for fold, values in columns.items()}
        for i, row in enumerate(rows)
    ]
    write_table(output, table, ["id", "group", "shard", *columns])
    _report(weights, parts, folds)


def part_shares(test: float, validation: float, folds: int) -> list[float]:
    """Shares of the samples for each part: test, then validation of every fold, then (one fold only) training."""
    if not (test > 0 and validation > 0 and test + validation < 1):
        raise MaskmillError(
            f"dataset.split asks for {test} of the samples for testing and {validation} for validation; "
            "both must be above 0 and leave something to train on"
        )
    return [test, validation, 1 - test - validation] if folds == 1 else [test] + [(1 - test) / folds] * folds


def assign_parts(weights: np.ndarray, shares: Sequence[float], seed: int) -> np.ndarray:
    """Part (0 to P - 1) of every group, each part holding at least one, with the shares asked for and alike classes.

    weights: (groups, 1 + classes), each group's samples and its pixels of every class, background first. Of 500 seeded
    random orders of the groups, cut where the shares come out nearest, the one is taken whose parts are nearest to the
    whole in samples and in class fractions, each measured relative to its aim so that rare classes count as much.
    """
    generator = np.random.default_rng(seed)
    best, lowest = None, np.inf
    for _ in range(CANDIDATES):
        order = generator.permutation(len(weights))
        parts = np.empty(len(weights), dtype=np.int64)
        parts[order] = _cut(weights[order, 0], shares)
        if (distance := _imbalance(weights, parts, shares)) < lowest:
            best, lowest = parts, distance
    return best


def _cut(samples: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Part of every group in this order: runs whose ends are nearest to the cumulative shares, none empty."""
    ends = np.concatenate([[0], np.cumsum(samples)]) / samples.sum()
    groups, count = len(samples), len(shares)
    cuts = [0]
    for part, aim in enumerate(np.cumsum(shares)[:-1], 1):
        nearest = int(np.argmin(np.abs(ends - aim)))
        cuts.append(min(max(nearest, cuts[-1] + 1), groups - (count - part)))
    return np.repeat(np.arange(count), np.diff([*cuts, groups]))


def _imbalance(weights: np.ndarray, parts: np.ndarray, shares: Sequence[float]) -> float:
    """How far the parts are from the shares and from the whole's class fractions; 0 is perfect."""
    count = len(shares)
    totals = np.zeros((count, weights.shape[1]))
    np.add.at(totals, parts, weights)
    aims = np.asarray(shares)
    size = np.abs(totals[:, 0] / totals[:, 0].sum() - aims) / aims
    fractions = _fractions(totals[:, 1:])
    whole = _fractions(weights[:, 1:].sum(axis=0, keepdims=True))
    present = whole[0] > 0
    mix = np.abs(fractions - whole)[:, present] / whole[:, present]
    return float(size.mean() + (mix.mean() if present.any() else 0))


def _fractions(pixels: np.ndarray) -> np.ndarray:
    return pixels / np.maximum(pixels.sum(axis=1, keepdims=True), 1)


def _group_weights(
    rows: Sequence[Mapping[str, str]], membership: np.ndarray, groups: int, label_dirs: Iterable[str]
) -> np.ndarray:
    """(groups, 1 + classes): samples and pixels of every class, background first, without ignored pixels."""
    group_of = {row["id"]: group for row, group in zip(rows, membership.tolist(), strict=True)}
    statistics = [row for folder in label_dirs for row in read_table(Path(folder) / "statistics.csv")]
    values = [int(row["class"]) for row in statistics if int(row["class"]) != IGNORE]
    weights = np.zeros((groups, 2 + max(values, default=0)))
    np.add.at(weights[:, 0], membership, 1)
    for row in statistics:
        if row["id"] in group_of and int(row["class"]) != IGNORE:
            weights[group_of[row["id"]], 1 + int(row["class"])] += int(row["pixels"])
    return weights


def _check_groups(names: list[str], parts: int) -> None:
    if len(names) >= parts:
        return
    listed = ", ".join(f'"{name}"' for name in names)
    raise MaskmillError(
        f"the samples form only {len(names)} group{'' if len(names) == 1 else 's'} ({listed}), but the split needs at "
        f"least {parts}, since a group is never divided. Set dataset.split.group to image if every picture stands for "
        "itself, to slab if they are slices of volumes, or to regex if the file names tell what belongs together; "
        "or ask for fewer folds."
    )


def _fold_names(parts: np.ndarray, fold: int, folds: int) -> np.ndarray:
    """Name of each group's part in one fold."""
    names = np.full(folds + 1 if folds > 1 else 3, "train", dtype=object)
    names[0], names[fold + 1] = "test", "validation"
    return names[parts]


def _report(weights: np.ndarray, parts: np.ndarray, folds: int) -> None:
    """Log what the parts hold, and warn where few groups make the figures uncertain."""
    names = ["test", "validation", "train"] if folds == 1 else ["test", *(f"fold {fold}" for fold in range(folds))]
    for part, name in enumerate(names):
        chosen = weights[parts == part]
        fractions = _fractions(chosen[:, 1:].sum(axis=0, keepdims=True))[0, 1:]
        percent = ", ".join(f"{100 * fraction:.2f}" for fraction in fractions)
        logger.info("%s: %d groups, %d samples, classes %s %%", name, len(chosen), chosen[:, 0].sum(), percent)
    tested = int((parts == 0).sum())
    if tested < FEW_GROUPS:
        logger.warning(
            "only %d group%s for testing: figures measured there say little about others; more groups, or "
            "dataset.split.folds above 1, make them firmer",
            tested,
            "" if tested == 1 else "s",
        )
