"""How sure the model is of each case, whether that tells good masks from bad, and which cases a person should see."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from maskmill.evaluation.averages import read_case_values
from maskmill.files import atomic_path, read_json, write_json, write_table
from maskmill.inference.entropy import POSSIBLE, case_entropy, draw_entropy, least_confident
from maskmill.inference.postprocess import OperatingPoint
from maskmill.inference.temperature import scale_probabilities
from maskmill.logs import progress
from maskmill.metrics import significant
from maskmill.metrics.selective import area_under, rank_correlation, risk_coverage
from maskmill.metrics.statistics import LEVEL

COLUMNS = ("id", "group", "pixels", "entropy", "confidence", "iou")
"""Of a case: pixels that may be foreground, their mean entropy, 1 − that, and the mean IoU over the classes that have
one, empty where none has."""


def measure_uncertainty(
    probabilities: str | PathLike,
    metrics: str | PathLike,
    point: str | PathLike,
    table: str | PathLike,
    curve: str | PathLike,
    maps: str | PathLike,
) -> None:
    """Write a row (`COLUMNS`) for each case of a metrics table, what they say together, and entropy maps of a few.

    probabilities: folder of the member's `<id>.npy`, uint8 (K, D, H, W); one case is read at a time. point:
    operating_point.json, whose temperature they are taken at.
    curve: JSON, see `judge_order`; maps: folder of `<id>.png`, 8-bit, the 255-fold entropy of the cases listed.
    """
    values = read_case_values([metrics], ["iou"])
    temperature = OperatingPoint.from_dict(read_json(point)).temperature
    rows, pages = [], {}
    for number, identifier in enumerate(progress(values.ids, "uncertainty")):
        found = case_entropy(_load(probabilities, identifier, temperature))
        scores = values.values["iou"][number]
        defined = scores[~np.isnan(scores)]
        rows.append(
            {
                "id": identifier,
                "group": values.groups[number],
                "pixels": found.pixels,
                "entropy": significant(found.mean),
                "confidence": significant(1 - found.mean),
                "iou": significant(float(defined.mean())) if defined.size else None,
            }
        )
        pages[identifier] = found.page
    listed = least_confident(rows)
    with atomic_path(maps) as aside:
        aside.mkdir(parents=True)
        for row in listed:
            target = aside / f"{row['id']}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw_entropy(_load(probabilities, row["id"], temperature), pages[row["id"]])).save(target)
    write_json(curve, judge_order(rows) | {"listed": [row | {"page": pages[row["id"]]} for row in listed]})
    write_table(table, rows, COLUMNS)


def judge_order(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the confidence of the cases that have an IoU says of it, from rows as `COLUMNS` has them.

    possible: probability from which on a pixel is averaged; level: of the interval; cases, undefined: with and without
    an IoU; coverage, risk, ideal_risk: the curve by confidence, and by the IoU itself; aurc, ideal_aurc, random_aurc:
    areas under them, and that of cases in any order; correlation: of confidence with IoU (see `RankCorrelation`).
    Without a case that has an IoU areas are None and curves empty.
    """
    known = [row for row in rows if row["iou"] is not None]
    confidence, iou = ([row[name] for row in known] for name in ("confidence", "iou"))
    result = {"possible": POSSIBLE, "level": LEVEL, "cases": len(known), "undefined": len(rows) - len(known)}
    result["correlation"] = _rounded(asdict(rank_correlation(confidence, iou, [row["group"] for row in known])))
    if not known:
        return result | dict.fromkeys(("aurc", "ideal_aurc", "random_aurc")) | {
            "coverage": [], "risk": [], "ideal_risk": []
        }  # fmt: skip
    coverage, risk = risk_coverage(confidence, iou)
    _, ideal = risk_coverage(iou, iou)
    areas = {"aurc": area_under(risk), "ideal_aurc": area_under(ideal), "random_aurc": 1 - float(np.mean(iou))}
    curves = {"coverage": coverage, "risk": risk, "ideal_risk": ideal}
    return result | _rounded(areas) | {name: [significant(x) for x in curve.tolist()] for name, curve in curves.items()}


def _load(folder: str | PathLike, identifier: str, temperature: float) -> np.ndarray:
    return scale_probabilities(np.load(Path(folder, f"{identifier}.npy"), mmap_mode="r"), temperature)


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: significant(value) if isinstance(value, float) else value for name, value in values.items()}
