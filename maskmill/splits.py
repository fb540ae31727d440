"""Divide the samples into training, validation and test without ever dividing a group (scene, patient, site)."""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from maskmill.classes import IGNORE
from maskmill.errors import MaskmillError
from maskmill.files import read_table, write_table
from maskmill.indexing.groups import natural_key, neighbours, official_parts
from maskmill.leaks.isolation import EXCLUDED
from maskmill.wording import count_of

CANDIDATES = 500
FEW_GROUPS = 3

logger = logging.getLogger(__name__)


def split_samples(
    samples: str | os.PathLike,
    label_dirs: Sequence[str | os.PathLike],
    test: float,
    validation: float,
    folds: int,
    seed: int,
    output: str | os.PathLike,
    classes: Sequence[str],
    page: str | os.PathLike,
    official: str | None = None,
    table: str | None = None,
    group: str = "folder",
    buffer: float = 0,
    pairs: str | os.PathLike | None = None,
) -> None:
    """Write splits.csv: id, group, shard and, for every fold, the part of each sample, or "excluded".

    samples: path of samples.csv. label_dirs: folders with the statistics.csv of the shards. test and validation are
    shares of all samples. With one fold, `validation` of the samples are for validation; with more, every group that is
    not for testing is for validation in exactly one fold. classes: their names, for the log. page: the audit's page,
    which shows the labels even where they cannot be split.
    official, table: the official split, which is kept (`groups.official_parts`); of its training samples, those parts
    are dealt that it does not have. group, buffer: samples near to a sample of a part that counts more are excluded
    (`groups.neighbours`). pairs: table of samples that show the same, whose groups are united before they are dealt;
    not so where too few groups would be left, which the leak gate then finds with the pictures concerned.

    Raises MaskmillError where there are too few groups, or an option or the official split does not fit.
    """
    rows = read_table(samples)
    given = _official(rows, official, table) if official else np.full(len(rows), "train", dtype=object)
    shares = _shares(given, test, validation, folds, official is not None)
    if pairs is not None:
        rows = _united(rows, read_table(pairs), len(shares))
    weights = _sample_weights(rows, label_dirs)
    parts = np.repeat(given[:, None], folds, axis=1)
    if len(shares) > 1:
        is_open = given == "train"
        groups = np.array([row["group"] for row in rows])[is_open]
        _check_groups(sorted(set(groups.tolist())), len(groups), len(shares), folds, page)
        parts[is_open] = _deal(groups, weights[is_open], shares, folds, seed)
    if buffer:
        exclude_near(parts, neighbours(rows, group, buffer))
    _check_parts(parts)
    columns = [f"fold{fold}" for fold in range(folds)]
    dealt = [
        {key: row[key] for key in ("id", "group", "shard")} | dict(zip(columns, of_sample, strict=True))
        for row, of_sample in zip(rows, parts.tolist(), strict=True)
    ]
    write_table(output, dealt, ["id", "group", "shard", *columns])
    _report(np.array([row["group"] for row in rows]), weights, parts, classes)


def _united(
    rows: Sequence[Mapping[str, str]], pairs: Sequence[Mapping[str, str]], least: int
) -> Sequence[Mapping[str, str]]:
    """The samples with groups united, or as they are where that leaves fewer than `least` groups."""
    united = unite_groups(rows, pairs)
    before, after = (len({row["group"] for row in samples}) for samples in (rows, united))
    if after < least <= before:
        logger.warning(
            "dataset.split.on_leak is merge, but uniting the groups whose pictures show the same leaves %d of %d, and "
            "the split needs at least %d: dealing them as they are",
            *(after, before, least),
        )
        return rows
    if after < before:
        logger.info("%d groups became %d: pictures of different groups show the same", before, after)
    return united


def unite_groups(rows: Sequence[Mapping[str, str]], pairs: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """The samples, with groups that a pair connects under one name: the first of their names in natural order."""
    names, membership = np.unique([row["group"] for row in rows], return_inverse=True)
    group_of = {row["id"]: group for row, group in zip(rows, membership.tolist(), strict=True)}
    links = np.array([(group_of[pair["id_a"]], group_of[pair["id_b"]]) for pair in pairs], np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(links)), tuple(links.T)), shape=(len(names), len(names)))
    _, united = connected_components(graph, directed=False)
    name_of: dict[int, str] = {}
    for index in sorted(range(len(names)), key=lambda index: natural_key(str(names[index]))):
        name_of.setdefault(united[index], str(names[index]))
    return [dict(row) | {"group": name_of[united[group]]} for row, group in zip(rows, membership, strict=True)]


def _official(rows: Sequence[Mapping[str, str]], official: str, table: str | None) -> np.ndarray:
    parts, unplaced = official_parts({row["id"]: row["image"] for row in rows}, official, table)
    if unplaced:
        raise MaskmillError("\n".join(f"{p.id}: {p.detail}; {p.remedy}" for p in unplaced))
    given = np.array([parts[row["id"]] for row in rows], dtype=object)
    counts = {part: int((given == part).sum()) for part in ("train", "validation", "test")}
    logger.info("official split: %s", ", ".join(f"{count} {part}" for part, count in counts.items()))
    return given


def _shares(given: np.ndarray, test: float, validation: float, folds: int, official: bool) -> dict[str, float]:
    """Shares of the samples whose given part is "train": for test, for validation (each fold's), for training.

    A part that an official split gives has no share. The name of a fold's validation is its number where there are
    several folds.
    """
    names = ["test", "validation", "train"] if folds == 1 else ["test", *map(str, range(folds))]
    if not official:
        return dict(zip(names, part_shares(test, validation, folds), strict=True))
    if folds > 1 and "validation" in given:
        raise MaskmillError(
            f"dataset.split.folds is {folds}, but the official split has a validation part; "
            "set folds to 1, or take the validation part out of the official split"
        )
    trained = int((given == "train").sum())
    test = 0.0 if "test" in given else test * len(given) / max(trained, 1)
    validation = 0.0 if "validation" in given else validation * len(given) / max(trained, 1)
    if test + validation >= 1:
        raise MaskmillError(
            f"the official split has {trained} samples for training, too few to take test and validation from where it "
            "has none; make dataset.split.test and validation smaller"
        )
    rest = [validation, 1 - test - validation] if folds == 1 else [(1 - test) / folds] * folds
    return {name: share for name, share in zip(names, [test, *rest], strict=True) if share}


def _deal(groups: np.ndarray, weights: np.ndarray, shares: Mapping[str, float], folds: int, seed: int) -> np.ndarray:
    """Part of every sample in every fold, (N, folds) of str; groups: (N,) of str, weights: `_sample_weights`."""
    names, membership = np.unique(groups, return_inverse=True)
    totals = np.zeros((len(names), weights.shape[1]))
    np.add.at(totals, membership, weights)
    parts = assign_parts(totals, list(shares.values()), seed)
    by_fold = [
        [("validation" if name == str(fold) else "train") if name.isdecimal() else name for name in shares]
        for fold in range(folds)
    ]
    return np.array(by_fold, dtype=object)[:, parts[membership]].T


def exclude_near(parts: np.ndarray, near: np.ndarray) -> None:
    """Exclude, in place, every sample that is near to one of a part that counts more: test, validation, training.

    parts: (N, folds) of str. near: pairs of indices (M, 2). What is excluded keeps nothing else away.
    """
    both = np.concatenate([near, near[:, ::-1]])
    for fold in parts.T:
        for part, lesser in (("test", ("validation", "train")), ("validation", ("train",))):
            beside = both[fold[both[:, 0]] == part, 1]
            fold[beside[np.isin(fold[beside], lesser)]] = EXCLUDED


def _check_parts(parts: np.ndarray) -> None:
    empty = [
        f"fold {fold} has no {part} sample"
        for fold, column in enumerate(parts.T)
        for part in ("train", "validation", "test")
        if part not in column
    ]
    if empty:
        raise MaskmillError(
            f"{'; '.join(empty)}. With dataset.split.buffer, fewer and larger slabs or blocks, or a smaller buffer, "
            "leave more; an official split needs samples for training."
        )


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


def _sample_weights(rows: Sequence[Mapping[str, str]], label_dirs: Iterable[str | os.PathLike]) -> np.ndarray:
    """(N, 1 + classes): 1 and the sample's pixels of every class, background first, without ignored pixels."""
    place = {row["id"]: index for index, row in enumerate(rows)}
    statistics = [row for folder in label_dirs for row in read_table(Path(folder) / "statistics.csv")]
    values = [int(row["class"]) for row in statistics if int(row["class"]) != IGNORE]
    weights = np.zeros((len(rows), 2 + max(values, default=0)))
    weights[:, 0] = 1
    for row in statistics:
        if row["id"] in place and int(row["class"]) != IGNORE:
            weights[place[row["id"]], 1 + int(row["class"])] += int(row["pixels"])
    return weights


def _check_groups(names: list[str], samples: int, parts: int, folds: int, page: str | os.PathLike) -> None:
    if len(names) >= parts:
        return
    listed = ", ".join(f'"{name}"' for name in names)
    if samples < parts:
        remedies = [f"annotate at least {parts} pictures"]
    else:
        remedies = [
            "set dataset.split.group to image if every picture stands for itself, to slab if they are slices of "
            "volumes, or to regex if the file names tell what belongs together"
        ]
    if folds > 1:
        remedies.append("ask for fewer folds")
    remedy = "; or ".join(remedies)
    raise MaskmillError(
        f"the samples form only {count_of(len(names), 'group')} ({listed}), but the split needs at least {parts}, "
        f"since a group is never divided. {remedy[0].upper()}{remedy[1:]}.\n"
        f"The label images are finished all the same, and {page} shows them; where it is missing, the same snakemake "
        "command with that page as its target makes it."
    )


def _report(groups: np.ndarray, weights: np.ndarray, parts: np.ndarray, classes: Sequence[str]) -> None:
    """Log what the parts hold, and warn where few groups make the figures uncertain."""
    for fold, column in enumerate(parts.T):
        for part in ("test", "validation", "train", EXCLUDED):
            if not (chosen := column == part).any():
                continue
            fractions = _fractions(weights[chosen, 1:].sum(axis=0, keepdims=True))[0, 1:]
            shares = [f"{name} {100 * share:.2f} %" for name, share in zip(classes, fractions, strict=True)]
            counts = count_of(len(set(groups[chosen])), "group"), count_of(int(chosen.sum()), "sample")
            logger.info("fold %d, %s: %s, %s; pixels: %s", fold, part, *counts, ", ".join(shares))
    tested = len(set(groups[parts[:, 0] == "test"]))
    if tested < FEW_GROUPS:
        logger.warning(
            "only %s for testing: figures measured there say little about others; more groups, or "
            "dataset.split.folds above 1, make them firmer",
            count_of(tested, "group"),
        )
