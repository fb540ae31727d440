"""The model card says what bundle.json says."""

from dataclasses import replace

import pytest

from maskmill.deployment.bundle import load_bundle
from maskmill.files import read_json, sha256_file
from maskmill.metrics import HEADLINE_METRICS
from maskmill.serving.card import read_card


@pytest.fixture
def packed(bundle):
    return load_bundle(bundle)


def facts(rows):
    return {row["what"]: row["value"] for row in rows}


def test_metrics_stand_with_their_intervals_and_what_they_are_over(packed):
    card = read_card(packed)

    share, distance = (
        {"roof": text, "road": text, "mean over classes": text}
        for text in ("0.500 (0.250\xa0to\xa00.750)", "0.5 (0.2\xa0to\xa00.8)")
    )
    assert [row["metric"] for row in card.metrics] == [metric.title("px") for metric in HEADLINE_METRICS.values()]
    assert card.metrics[0] == {"metric": "IoU"} | share
    assert card.metrics[-1] == {"metric": "HD95 (px)"} | distance
    assert card.headline == "test IoU 0.500 (95 % interval 0.250 to 0.750)"
    assert card.evidence.startswith("Means over 12 test pictures")
    assert card.evidence.endswith("with 95 % intervals over 6 groups.")


def test_classes_stand_with_thresholds_and_steps(packed):
    assert read_card(packed).classes == [
        {"class": "roof", "threshold": "0.3", "then": "none"},
        {"class": "road", "threshold": "0.35", "then": "remove small (area 4)"},
    ]


def test_what_pictures_it_takes_and_where_it_comes_from(packed):
    card = read_card(packed)

    assert facts(card.data)["Channels"].startswith("3 ")
    assert facts(card.data)["Pixel type"] == "uint8"
    assert facts(card.data)["Range of values"] == "0 to 255"
    assert facts(card.data)["Tiles"] == "32 × 32 pixels"
    origin = facts(card.provenance)
    assert origin["Run"] == read_json(packed.folder / "bundle.json")["run_id"]
    assert origin["Members"] == f"fold0-seed0 (run {origin['Run']})"
    assert origin["Experiment"] == "baseline"
    assert origin["Model SHA-256"] == sha256_file(packed.onnx)
    assert origin["Export"] == "PyTorch’s masks on 2 validation pictures"


def test_pictures_own_ranges_are_told(packed):
    preprocessing = replace(packed.recipe.preprocessing, intensity_ranges=None)
    own = replace(packed, recipe=replace(packed.recipe, preprocessing=preprocessing))

    assert facts(read_card(own).data)["Range of values"] == "each picture’s own range"


def test_distances_of_volumes_have_no_unit_that_the_bundle_does_not_tell(packed):
    volumes = replace(packed, recipe=replace(packed.recipe, volumes=True))

    card = read_card(volumes)

    assert card.metrics[-1]["metric"] == "HD95"
    assert card.metrics[-1]["roof"].startswith("0.5 (")
    assert card.evidence.startswith("Means over 12 test volumes")
