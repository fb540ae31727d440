"""How sure the model is of its test cases, for the report: in words, and the cases to look at in pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskmill.classes import Classes
from maskmill.imaging.images import read_image
from maskmill.imaging.resampling import resize_image
from maskmill.metrics.selective import ORDERS, REVERSES
from maskmill.metrics.statistics import TOO_FEW, min_groups_for_verdict
from maskmill.report.cases import Case, CaseImages
from maskmill.report.pictures import colour_entropy, data_uri, draw_case
from maskmill.wording import signed

_VERDICTS = {
    ORDERS: "The less sure the model is of a picture, the worse its mask: hand over the least sure ones first.",
    REVERSES: "The model is surer of worse masks: do not go by its confidence. Look at the probabilities’ calibration.",
    TOO_FEW: "Whether confidence orders the errors cannot be told from so few groups; it takes {least}.",
}
_UNCLEAR = "Whether confidence orders the errors cannot be told from this test: the interval holds 0."


def describe_order(judged: Mapping[str, Any]) -> str:
    """What `judge_order` found, in words with its figures."""
    if judged["cases"] == 0:
        return "No test picture has an IoU that confidence could be held against."
    found = judged["correlation"]
    if found["estimate"] is None:
        return "Confidence or IoU is the same in all test pictures, so that the one says nothing of the other."
    verdict = _VERDICTS.get(found["verdict"], _UNCLEAR).format(least=min_groups_for_verdict())
    rho = f"{signed(found['estimate'], 2)} ({_interval(judged)})"
    return f"{verdict} Spearman’s rank correlation of confidence with IoU is {rho}."


def _interval(judged: Mapping[str, Any]) -> str:
    found = judged["correlation"]
    if found["low"] is None:
        return "too few pictures for an interval"
    units = {"groups": f"{found['n_groups']} groups", "cases": f"{found['n_cases']} single pictures"}[
        found["resampled"]
    ]
    return (
        f"{100 * judged['level']:.0f} % interval over {units} {signed(found['low'], 2)} to {signed(found['high'], 2)}"
    )


def show_uncertain(
    listed: Sequence[Mapping[str, Any]],
    maps: Path,
    cases: Mapping[str, Case],
    images: CaseImages,
    classes: Classes,
) -> list[dict[str, Any]]:
    """The listed cases with their pictures: the prediction, the entropy map, the errors. cases: those with an IoU."""
    rows = []
    for row in listed:
        seen = images.read(row["id"], row["page"])
        _, prediction, errors = draw_case(seen.image, seen.reference, seen.predictions[0], classes)
        entropy = resize_image(read_image(maps / f"{row['id']}.png"), *prediction.shape[:2])
        drawn = (prediction, colour_entropy(entropy[..., 0]), errors)
        case = cases.get(row["id"])
        rows.append({"row": row, "case": case, "pictures": [data_uri(one) for one in drawn], "place": seen.place})
    return rows
