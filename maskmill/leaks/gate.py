"""The leak gate: no sample of one part may show what a sample of another part shows.

A leak makes a model look better than it is: it is tested on what it has seen. `detect_leaks` lists the leaks of the
proposed splits; `check_leaks` lets the splits pass or fails with the list.
"""

import logging
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from maskmill.errors import MaskmillError
from maskmill.files import atomic_path, read_table, write_table

LEAK_COLUMNS = ("kind", "fold", "id_a", "split_a", "id_b", "split_b", "similarity", "detail", "remedy")
PARTS = ("train", "validation", "test")
LISTED = 20

MERGE_FAILED = (
    "dataset.split.on_leak is merge, but the groups of these pictures could not be united: too few would be left to "
    "divide, or the official split takes them apart. If all are of one scene, no split tells how a model does on "
    "another: bring pictures of others."
)

logger = logging.getLogger(__name__)


def detect_leaks(
    splits: str | os.PathLike,
    pairs: str | os.PathLike,
    dealing: Mapping[str, Any],
    output: str | os.PathLike,
) -> None:
    """Write the table of leaks (`LEAK_COLUMNS`), the worst first.

    splits: the proposed splits. pairs: samples that show the same. A pair within one part is no leak, nor is one with a
    sample that is excluded. kind: that of the pair, or "divided_group" (a group in several parts: an official split).
    dealing: the options `group`, `buffer` and `on_leak` of `dataset.split`, which the remedies are about.
    """
    dealt = read_table(splits)
    leaks = sorted(pair_leaks(dealt, read_table(pairs)) + group_leaks(dealt), key=_severity)
    remedies = {kind: remedy(kind, **dealing) for kind in {leak["kind"] for leak in leaks}}
    write_table(output, [leak | {"remedy": remedies[leak["kind"]]} for leak in leaks], LEAK_COLUMNS)
    logger.info("%s", describe_counts(leaks) if leaks else "no leak found")


def remedy(kind: str, group: str, buffer: float, on_leak: str) -> str:
    """What to do about leaks of a kind, with these options of `dataset.split`."""
    merge = (
        [] if on_leak == "merge" else ["set dataset.split.on_leak to merge, which unites the groups of such pictures"]
    )
    distance = f"make dataset.split.buffer larger than {buffer:g}" if buffer else "set dataset.split.buffer"
    unit = {"slab": "slices or frames", "blocks": "map units"}.get(group)
    match kind, group:
        case "identical", _:
            first = "take one of the two away"
        case ("near_duplicate", "slab") | ("overlapping_footprint", "blocks"):
            first = f"{distance} ({unit} that are left out beside another part)"
        case "near_duplicate", _:
            first = (
                "say what belongs together with dataset.split.group (regex, folder, column, or slab with a buffer for "
                "stacks and videos)"
            )
        case "overlapping_footprint", _:
            first = "set dataset.split.group to blocks with a buffer"
        case _:
            return "correct the official split or the groups"
    return ", or ".join([first, *merge])


def pair_leaks(splits: Sequence[Mapping[str, str]], pairs: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """A row for each pair and fold where its two samples are in different parts."""
    rows = {row["id"]: row for row in splits}
    leaks = []
    for pair in pairs:
        first, second = rows[pair["id_a"]], rows[pair["id_b"]]
        for fold in _folds(splits):
            parts = first[f"fold{fold}"], second[f"fold{fold}"]
            if parts[0] != parts[1] and set(parts) <= set(PARTS):
                leaks.append(_leak(pair["kind"], fold, pair, parts, pair["similarity"], pair["detail"]))
    return leaks


def group_leaks(splits: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """A row for each group, fold and pair of parts that share the group, with the group's first sample in each part."""
    leaks = []
    for fold in _folds(splits):
        members: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for row in splits:
            members[row["group"]][row[f"fold{fold}"]].append(row["id"])
        for group, by_part in members.items():
            for parts in combinations([part for part in PARTS if part in by_part], 2):
                ids = {"id_a": by_part[parts[0]][0], "id_b": by_part[parts[1]][0]}
                counts = " and ".join(f"{len(by_part[part])} in {part}" for part in parts)
                leaks.append(_leak("divided_group", fold, ids, parts, "", f'the group "{group}" has {counts}'))
    return leaks


def check_leaks(
    splits: str | os.PathLike,
    leaks: str | os.PathLike,
    page_dir: str | os.PathLike,
    on_leak: str,
    output: str | os.PathLike,
) -> None:
    """Let the proposed splits pass as `output` (splits.csv, the same bytes) where no leak was found.

    on_leak: "allow" logs the leaks and lets the splits pass too; "fail" and "merge" raise MaskmillError with the first
    of them, how many there are, and what to do.
    """
    found = read_table(leaks)
    if found and on_leak != "allow":
        merged = f"\n\n{MERGE_FAILED}" if on_leak == "merge" else ""
        raise MaskmillError(
            f"{describe_leaks(found)}{merged}\n\n"
            f"All of them are in {leaks}; look at them in {Path(page_dir, 'index.html')}. "
            "If they are none, or the split is to stay as it is, set dataset.split.on_leak to allow."
        )
    if found:
        logger.warning("going on in spite of leaks, since dataset.split.on_leak is allow\n%s", describe_leaks(found))
    with atomic_path(output) as aside:
        shutil.copyfile(splits, aside)


def describe_counts(leaks: Sequence[Mapping[str, str]]) -> str:
    """How many pairs of samples leak between which parts, in one line for each kind."""
    lines = []
    for kind in dict.fromkeys(leak["kind"] for leak in leaks):
        of_kind = [leak for leak in leaks if leak["kind"] == kind]
        between = Counter(" and ".join(sorted((leak["split_a"], leak["split_b"]))) for leak in of_kind)
        counts = ", ".join(f"{count} between {parts}" for parts, count in sorted(between.items()))
        lines.append(f"{kind} ({len(of_kind)}): {counts}")
    return "\n".join(lines)


def describe_leaks(leaks: Sequence[Mapping[str, str]]) -> str:
    """Text with the counts, the first leaks and what to do about each kind."""
    lines = ["samples of different parts show the same, so that figures of the test would be too good.", ""]
    lines.append(describe_counts(leaks))
    lines += ["", "The worst:"]
    lines += [
        f"  fold {leak['fold']}: {leak['id_a']} ({leak['split_a']}) and {leak['id_b']} ({leak['split_b']}): "
        f"{leak['kind']}, {leak['detail']}"
        for leak in leaks[:LISTED]
    ]
    if len(leaks) > LISTED:
        lines.append(f"  and {len(leaks) - LISTED} more")
    lines.append("")
    lines += [f"{kind}: {text}" for kind, text in {leak["kind"]: leak["remedy"] for leak in leaks}.items()]
    return "\n".join(lines)


def _folds(splits: Sequence[Mapping[str, str]]) -> list[str]:
    return [column.removeprefix("fold") for column in splits[0] if column.startswith("fold")]


def _leak(
    kind: str, fold: str, ids: Mapping[str, str], parts: tuple[str, str], similarity: str, detail: str
) -> dict[str, str]:
    return {
        "kind": kind,
        "fold": fold,
        "id_a": ids["id_a"],
        "split_a": parts[0],
        "id_b": ids["id_b"],
        "split_b": parts[1],
        "similarity": similarity,
        "detail": detail,
    }


def _severity(leak: Mapping[str, str]) -> tuple:
    """Sort key, worst first: leaks from training to test, then others of the test; identical files; the most alike."""
    parts = {leak["split_a"], leak["split_b"]}
    rank = 0 if parts == {"train", "test"} else 1 if "test" in parts else 2
    similarity = float(leak["similarity"] or 1)
    return rank, leak["kind"] != "identical", -similarity, leak["id_a"], leak["id_b"], leak["fold"], leak["kind"]
