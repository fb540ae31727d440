"""Merging, defaults, validation of the configuration."""

from pathlib import Path

import pytest
import yaml

from maskmill.configuration import check_config, deep_merge, experiment_options, option_rows, resolve_config
from maskmill.errors import MaskmillError

ROOT = Path(__file__).parents[2]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
PRESETS = {
    file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) for file in (ROOT / "config/presets").glob("*.yaml")
}
DATASET = {
    "name": "mine",
    "source": {"format": "labelme", "images": "pictures", "annotations": "pictures"},
    "classes": ["roof"],
}


def test_user_wins_over_preset_and_preset_over_default():
    config = resolve_config({"preset": "cell", "dataset": DATASET, "train": {"epochs": 3}}, PRESETS, SCHEMA)

    assert config["train"]["epochs"] == 3
    assert config["train"]["optimizer"] == PRESETS["cell"]["train"]["optimizer"] == "sgd"
    assert config["train"]["weight_decay"] == SCHEMA["$defs"]["train"]["properties"]["weight_decay"]["default"]
    assert config["dataset"]["split"]["folds"] == 1


def test_nothing_is_changed_in_the_mapping_given():
    given = {"dataset": DATASET}

    resolve_config(given, PRESETS, SCHEMA)

    assert given == {"dataset": DATASET}


def test_classes_are_replaced_not_merged():
    merged = deep_merge({"classes": {"a": "#000001"}, "x": {"y": 1}}, {"classes": {"b": "#000002"}, "x": {"z": 2}})

    assert merged == {"classes": {"b": "#000002"}, "x": {"y": 1, "z": 2}}


def test_every_mistake_is_listed_with_the_nearest_spelling():
    config = {
        "dataset": {"name": "mine", "source": {"format": "coco", "images": "a"}, "classes": ["roof"]},
        "train": {"epoch": 3, "lr": -1},
        "experiments": {"wide": {"modle": {"width": 64}}},
        "posprocess": {},
    }

    with pytest.raises(MaskmillError) as caught:
        check_config(config, SCHEMA)

    message = str(caught.value)
    for part in (
        "train: unknown key `epoch`; did you mean `epochs`?",
        "experiments.wide: unknown key `modle`; did you mean `model`?",
        "top level: unknown key `posprocess`; did you mean `postprocess`?",
        "dataset.source: missing `annotations`",
        "train.lr: -1",
        "'coco'",
    ):
        assert part in message


def test_an_experiment_overrides_only_what_it_says():
    config = resolve_config(
        {"dataset": DATASET, "experiments": {"wide": {"model": {"width": 64}}, "plain": {}}}, PRESETS, SCHEMA
    )

    wide, plain = experiment_options(config, "wide"), experiment_options(config, "plain")

    assert wide["model"]["width"] == 64
    assert wide["model"] | {"width": plain["model"]["width"]} == plain["model"]
    assert wide["train"] == plain["train"]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_are_valid_and_described(preset):
    resolve_config({"preset": preset, "dataset": DATASET}, PRESETS, SCHEMA)

    assert preset in SCHEMA["properties"]["preset"]["enum"]


def test_every_option_has_a_meaning_and_optional_ones_a_default():
    rows = list(option_rows(SCHEMA))

    assert all(meaning for *_, meaning in rows)
    without = [name for name, values, default, _ in rows if values != "section" and default == "–"]
    assert without == ["dataset.source.image_pattern", "dataset.source.annotation_pattern", "dataset.split.pattern"]
