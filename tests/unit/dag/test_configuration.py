"""Merging, defaults, validation of the configuration."""

import json
import re
from pathlib import Path

import pytest
import yaml

from maskmill.dag.configuration import (
    deep_merge,
    experiment_options,
    option_rows,
    resolve_config,
    searches,
    segments_alone,
)
from maskmill.errors import MaskmillError

ROOT = Path(__file__).parents[3]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
PRESETS = {
    file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) for file in (ROOT / "config/presets").glob("*.yaml")
}
DATASET = {
    "name": "mine",
    "source": {"format": "labelme", "images": "pictures", "annotations": "pictures"},
    "classes": ["roof"],
}


def mistakes(config) -> list[str]:
    """The lines of the error that a configuration gives."""
    with pytest.raises(MaskmillError) as caught:
        resolve_config(config, PRESETS, SCHEMA)
    head, *lines = str(caught.value).splitlines()
    assert head == "The configuration has mistakes:"
    return [line.removeprefix("  - ") for line in lines]


def test_user_wins_over_preset_and_preset_over_default():
    config = resolve_config({"preset": "cell", "dataset": DATASET, "train": {"epochs": 3}}, PRESETS, SCHEMA)

    assert config["train"]["epochs"] == 3
    assert config["train"]["optimizer"] == PRESETS["cell"]["train"]["optimizer"] == "sgd"
    assert config["train"]["weight_decay"] == SCHEMA["$defs"]["train"]["properties"]["weight_decay"]["default"]
    assert config["dataset"]["split"]["folds"] == 1


@pytest.mark.parametrize(
    "experiments",
    [
        {"plain": {}, "wide": {"model": {"width": 8}, "train": {"threads": 2}}},
        {"rates": {"sweep": {"train.lr": [0.001, 0.003], "model.width": [4, 8]}, "augment": {"flip": 0}}},
        {"found": {"search": {"options": {"model.width": [8, 16]}, "trials": 2}}},
        {"found": {"search": {"options": {"train.lr": {"low": 0.001, "high": 1, "log": True}}, "trials": 2}}},
        {"found": {"search": {"options": {"model.depth": {"low": 3, "high": 5}}, "trials": 2, "seed": 1}}},
    ],
)
def test_a_recorded_configuration_gives_itself_again(experiments):
    config = resolve_config({"preset": "cell", "dataset": DATASET, "experiments": experiments}, PRESETS, SCHEMA)

    again = resolve_config(json.loads(json.dumps(config)), PRESETS, SCHEMA)

    assert again == config
    assert list(again["experiments"]) == list(config["experiments"])
    assert searches(again, SCHEMA) == searches(config, SCHEMA)


@pytest.mark.parametrize("file", sorted(ROOT.glob("config/**/*.yaml")), ids=lambda file: file.stem)
def test_every_shipped_configuration_gives_itself_again(file):
    given = {"dataset": DATASET} | yaml.safe_load(file.read_text(encoding="utf-8"))
    config = resolve_config(given, PRESETS, SCHEMA)

    assert resolve_config(json.loads(json.dumps(config)), PRESETS, SCHEMA) == config


def test_nothing_is_changed_in_the_mapping_given():
    given = {"dataset": DATASET}

    resolve_config(given, PRESETS, SCHEMA)

    assert given == {"dataset": DATASET}


def test_classes_are_replaced_not_merged():
    merged = deep_merge({"classes": {"a": "#000001"}, "x": {"y": 1}}, {"classes": {"b": "#000002"}, "x": {"z": 2}})

    assert merged == {"classes": {"b": "#000002"}, "x": {"y": 1, "z": 2}}


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("/data/Archiv ü (2024)/", "Archiv-2024"),
        ("roofs", "roofs"),
        ("角", "pictures"),
        ("../_x.y_", "x.y"),
        ("data/ortho/**/*.tif", "ortho"),
    ],
)
def test_masks_of_pictures_alone_need_no_data_set_and_are_named_by_their_folder(folder, name):
    user = {"segment": {"images": folder, "bundle": "b"}}

    config = resolve_config(user, PRESETS, SCHEMA)

    assert re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{8}}", config["dataset"]["name"])
    assert config["segment"] == {"images": folder, "bundle": "b"}


def test_folders_of_one_name_have_results_of_their_own():
    places = ("/data/2024/images", "/data/2024/images/", "/data/2025/images", "/data/東京", "/data/大阪", "images")
    configs = [resolve_config({"segment": {"images": place, "bundle": "b"}}, PRESETS, SCHEMA) for place in places]

    first, again, *others = (config["dataset"]["name"] for config in configs)
    assert first == again
    assert len({first, *others}) == 5
    assert others[-1] != "images"  # which a data set may be called


@pytest.mark.parametrize(
    "user",
    [
        {},
        {"segment": None},
        {"segment": {"images": "x"}},
        {"segment": {"images": "x", "bundle": None}},
        {"segment": {"images": "x", "bundle": "y"}, "dataset": {}},
    ],
)
def test_whatever_else_is_asked_for_needs_a_data_set(user):
    assert not segments_alone(user)


def test_every_mistake_is_listed_with_the_nearest_spelling():
    config = {
        "dataset": {"name": "mine", "source": {"format": "labelmee", "images": "a"}, "classes": ["roof"]},
        "train": {"epoch": 3, "lr": -1},
        "experiments": {"wide": {"modle": {"width": 64}}},
        "posprocess": {},
    }

    lines = mistakes(config)

    for part in (
        "train: unknown key `epoch`; did you mean `epochs`?",
        "experiments.wide: unknown key `modle`; did you mean `model`?",
        "top level: unknown key `posprocess`; did you mean `postprocess`?",
        "dataset.source: missing `annotations`",
        "train.lr: -1",
        "dataset.source.format: labelmee is not possible; did you mean `labelme`? possible: ",
    ):
        assert part in "\n".join(lines)
    assert len(lines) == 6


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("train: {lr: 1e-3}", "train.lr: 1e-3 is text in YAML, whose powers need a point and a sign; "
                              "write 0.001 or 1.0e-3"),
        ("train: {epochs: 1E1}", "train.epochs: 1E1 is text in YAML, whose powers need a point and a sign; write 10"),
        ('train: {batch_size: "8"}', 'train.batch_size: "8" is text; write 8, without quotes'),
        ('train: {threads: "4"}', 'train.threads: "4" is text; write 4, without quotes'),
        ("postprocess: {thresholds: [0.5, 5e-1]}", "postprocess.thresholds.1: 5e-1 is text in YAML, whose powers need "
                                                   "a point and a sign; write 0.5 or 5.0e-1"),
        ("train: {precision: 32}", 'train.precision: 32 is not possible; did you mean `"32"`? '
                                   'possible: auto, "32", bf16, fp16'),
        ("train: {schedule: 7}", "train.schedule: 7 is not possible; possible: cosine, poly, step, constant"),
        ("preset: satelite", "preset: satelite is not possible; did you mean `satellite`? "
                             "possible: satellite, medical, cell, inspection"),
        ("preset: [cell]", "preset: [cell] is not possible; did you mean `cell`? "
                           "possible: satellite, medical, cell, inspection"),
        ("train: {epochs: many}", "train.epochs: many is not possible; write a whole number"),
        ("preprocess: {crop_border: null}", "preprocess.crop_border: null is not possible; write true or false"),
        ("experiments: {plain: }", "experiments.plain: null is not possible; write a mapping, {} where it is empty"),
        ("experiments: {two words: {}}", "experiments: two words is not possible; write letters from a to z, digits, "
                                         "`_`, `-` and `.`, a letter or digit first"),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_with_what_to_write(text, line):
    assert mistakes({"dataset": DATASET} | yaml.safe_load(text)) == [line]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("classes: {roof: red}", 'dataset.classes.roof: red is not possible; write six hexadecimal digits in quotes, '
                                 'such as "#3c1098"'),
        ("classes: [roof, 1]", "dataset.classes.1: 1 is not possible; write text, in quotes if YAML takes it for "
                               "something else"),
        ("classes: [roof, road, roof]", "dataset.classes names a class twice: roof; name each once"),
        ('classes: {a: "#000001", b: "#000001"}', "dataset.classes gives a, b the same colour; give each its own"),
        ("classes: [_background_, roof]", "dataset.classes: _background_ is always known and means background; "
                                          "leave it out"),
        ("classes: [__ignore__, roof]", "dataset.classes: __ignore__ is always known and means what nothing is learnt "
                                        "from; leave it out"),
        ("{classes: [roof, car], background: [car, tree]}", "dataset.background: car is in dataset.classes too; take "
                                                            "it out of one of the two"),
        ('{classes: {roof: "#00ff00"}, background: ["#00FF00"]}', "dataset.background: #00FF00 is in dataset.classes "
                                                                  "too; take it out of one of the two"),
        ("split: {test: 0.6, validation: 0.4}", "dataset.split: test 0.6 and validation 0.4 leave nothing for "
                                                "training; make their sum less than 1, such as 0.2 and 0.2"),
        ("split: {group: regex}", "dataset.split: group regex needs `pattern` beside it"),
        ("split: {group: regex, pattern: '^([a-z'}", 'dataset.split.pattern: "^([a-z" is no regular expression: '
                                                     "unterminated character set at character 3"),
        ("split: {group: regex, pattern: '^[a-z]+'}", 'dataset.split.pattern: "^[a-z]+" captures nothing; put the part '
         "of the id that names the group in parentheses, such as '^([^_]+)_' for A12 in A12_003"),
    ],
)  # fmt: skip
def test_mistakes_of_the_data_set_are_found_while_planning(text, line):
    assert mistakes({"dataset": DATASET | yaml.safe_load(text)}) == [line]


def test_patches_and_tiles_that_a_network_cannot_halve_are_found_in_every_experiment():
    lines = mistakes(
        {
            "dataset": DATASET,
            "train": {"patch": 136},
            "experiments": {
                "plain": {},
                "deep": {"model": {"depth": 6}},
                "shallow": {"model": {"depth": 3}},
                "tiled": {"predict": {"tile": 33}},
            },
        }
    )

    assert lines == [
        "train.patch: 136 is no multiple of 2^model.depth = 2^4 = 16 (experiment plain, tiled); use 128 or 144",
        "train.patch: 136 is no multiple of 2^model.depth = 2^6 = 64 (experiment deep); use 128 or 192",
        "predict.tile: 33 is no multiple of 2^model.depth = 2^4 = 16 (experiment tiled); use 32 or 48",
    ]


VOLUMES = DATASET | {"source": DATASET["source"] | {"stacks": "volume"}}


@pytest.mark.parametrize(
    ("dataset", "text", "line"),
    [
        (DATASET, "train: {patch: [128, 130]}", "train.patch: [128, 130] is no multiple of [16, 16], which a network "
         "of model.depth 4 needs (experiment default); use [128, 144]"),
        (DATASET, "train: {patch: [16, 128, 128]}", "train.patch: [16, 128, 128] has a depth, but the network is 2D "
         "(experiment default); write [128, 128]"),
        (DATASET, "model: {dimensions: 3}\ntrain: {patch: 64}", "model.dimensions: 3 needs volumes, but every slice of "
         "a stack is a sample of its own (experiment default); write dataset: {source: {stacks: volume}}, or "
         "dimensions: 2"),
        (VOLUMES, "train: {patch: [128, 128]}", "train.patch: [128, 128] has no depth, which a 3D network needs "
         "(experiment default); write [depth, height, width], or auto"),
        (VOLUMES, "train: {patch: 256}", "train.patch: in 3D 256 is 256 x 256 x 256 voxels, more than a GPU holds "
         "(experiment default); write auto, or [depth, height, width], such as [64, 96, 96]"),
        (VOLUMES, "train: {patch: [12, 64, 64]}\nmodel: {planar: 1}", "train.patch: [12, 64, 64] is no multiple of "
         "[8, 16, 16], which a network of model.depth 4 needs (experiment default); use [16, 64, 64]"),
        (VOLUMES, "model: {depth: 2, planar: 3}\ntrain: {patch: auto}", "model.planar: 3 steps of only 2 (model.depth) "
         "(experiment default); use 2 at most, or auto"),
        (DATASET, "predict: {tile: [64, 72]}", "predict.tile: [64, 72] is no multiple of [16, 16], which a network of "
         "model.depth 4 needs (experiment default); use [64, 80]"),
        (DATASET, "loss: {class_weights: [1, 2, 3]}", "loss.class_weights: 3 weights for 1 class (experiment default); "
         "write 2, the first for the background"),
        (DATASET, "loss: {class_weights: [0, 0]}", "loss.class_weights: every weight is 0 (experiment default); give "
         "the classes weights above 0, or write null"),
        (DATASET, "loss: {class_weights: [.inf, 1]}", "loss.class_weights: the weights are infinite (experiment "
         "default); give the classes weights above 0, or write null"),
        (DATASET, "loss: {ce: 0, dice: 0, lovasz: 0}", "loss: every weight is 0 (experiment default); give at least "
         "one of ce, dice, lovasz and boundary a weight"),
        (DATASET, "train: {patch: 16}\nmodel: {norm: instance}", "model.norm: instance cannot work on a single pixel, "
         "and 4 steps (model.depth) leave no more of train.patch: 16 (experiment default); use a larger "
         "train.patch, or a smaller model.depth"),
        (DATASET, "predict: {tile: 32}\nmodel: {norm: instance, depth: 5}", "model.norm: instance cannot work on a "
         "single pixel, and 5 steps (model.depth) leave no more of predict.tile: 32 (experiment default); use a larger "
         "predict.tile, or a smaller model.depth"),
        (VOLUMES, "train: {patch: [8, 16, 16]}\nmodel: {norm: instance, planar: 1}", "model.norm: instance cannot work "
         "on a single pixel, and 4 steps (model.depth) leave no more of train.patch: [8, 16, 16] (experiment default); "
         "use a larger train.patch, or a smaller model.depth"),
        (DATASET, "train: {patch: 16, batch_size: 1}", "model.norm: batch cannot work on a single pixel of a single "
         "patch, and 4 steps (model.depth) leave no more of train.patch: 16 with train.batch_size: 1 (experiment "
         "default); use a larger train.patch, a smaller model.depth, or model.norm: group"),
        (DATASET, "train: {patch: 16, batch_size: 4, patches_per_epoch: 5}", "model.norm: batch cannot work on a "
         "single pixel of a single patch, and 4 steps (model.depth) leave no more of train.patch: 16 in the last batch "
         "of an epoch (5 patches, 4 a step) (experiment default); use a larger train.patch, a smaller model.depth, or "
         "model.norm: group"),
        (DATASET, "predict: {overlap: exact}\nmodel: {norm: group, attention: cbam}", "predict.overlap: exact, but "
         "with model.attention cbam and model.norm group the network looks at a tile as a whole (experiment default); "
         "give a share such as 0.2"),
        (VOLUMES, "train: {patch: auto}\npredict: {tta: rotations}", "predict.tta: rotations, but the axes "
         "of volumes are not alike (experiment default); write flips"),
        (DATASET, "train: {patience: 9, epochs: 9}", "train.patience: 9 epochs without progress cannot happen in 9 "
         "epochs (experiment default); use fewer, or 0"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_are_found_while_planning(dataset, text, line):
    config = {"dataset": dataset, "experiments": {"default": {}}} | yaml.safe_load(text)

    assert mistakes(config) == [line]


@pytest.mark.parametrize(
    ("dataset", "text"),
    [
        (DATASET, "train: {patch: [96, 160]}"),
        (DATASET, "train: {patch: [1, 96, 160]}\npredict: {tile: [1, 64, 64]}"),
        (DATASET, "train: {patch: 130}\nmodel: {depth: auto}"),
        (DATASET, "model: {planar: 7}"),
        (DATASET, "predict: {overlap: exact, tta: rotations}"),
        (VOLUMES, "train: {patch: auto}\npredict: {overlap: exact, tta: flips}"),
        (DATASET, "loss: {class_weights: auto}\ntrain: {batch_size: auto, foreground: auto}"),
        (VOLUMES, "train: {patch: [13, 64, 64]}"),
        (VOLUMES, "train: {patch: [13, 64, 64]}\nmodel: {planar: 4}"),
        (VOLUMES, "model: {dimensions: 2}\ntrain: {patch: 256}"),
        (VOLUMES, "preset: medical"),
        (VOLUMES, "model: {norm: instance, planar: 0}\ntrain: {patch: [32, 16, 16]}"),
        (DATASET, "train: {patch: 16, batch_size: 4, patches_per_epoch: 8}"),
        (DATASET, "train: {patch: 16, batch_size: 4, patches_per_epoch: 9, devices: 2}"),
        (DATASET, "train: {patch: 16, batch_size: 4, patches_per_epoch: auto}"),
        (DATASET, "train: {patch: 16, batch_size: 1}\nmodel: {norm: group}"),
    ],
)
def test_what_is_left_to_the_plan_is_no_mistake(dataset, text):
    resolve_config({"dataset": dataset} | yaml.safe_load(text), PRESETS, SCHEMA)


def test_mistakes_of_all_kinds_are_listed_together():
    lines = mistakes(
        {
            "dataset": DATASET | {"classes": ["a", "a"]},
            "train": {"patch": 100},
            "quality": {"spacing": 1},
            "preprocess": {"scale": "1e0"},
        }
    )

    assert [line.partition(" ")[0] for line in lines] == [
        "preprocess.scale:",
        "quality:",
        "dataset.classes",
        "train.patch:",
    ]


def test_a_section_with_a_mistake_of_its_own_is_not_said_to_disagree_with_others():
    assert mistakes({"dataset": DATASET, "preset": "cel", "train": {"patch": 100}})[1:] == []
    assert mistakes({"dataset": 3})[1:] == []
    assert mistakes({}) == ["top level: missing `dataset`"]


def test_an_experiment_overrides_only_what_it_says():
    config = resolve_config(
        {"dataset": DATASET, "experiments": {"wide": {"model": {"width": 64}}, "plain": {}}}, PRESETS, SCHEMA
    )

    wide, plain = experiment_options(config, "wide"), experiment_options(config, "plain")

    assert wide["model"]["width"] == 64
    assert wide["model"] | {"width": plain["model"]["width"]} == plain["model"]
    assert wide["train"] == plain["train"]


def test_a_sweep_becomes_experiments_whose_options_are_checked_like_any_others():
    swept = {"rates": {"sweep": {"train.lr": [0.001, 0.003]}}}
    config = resolve_config({"dataset": DATASET, "experiments": swept}, PRESETS, SCHEMA)

    assert list(config["experiments"]) == ["rates-lr_0.001", "rates-lr_0.003"]
    assert experiment_options(config, "rates-lr_0.003")["train"]["lr"] == 0.003
    assert mistakes({"dataset": DATASET, "experiments": {"a": {"sweep": {"train.patch": [64, 100]}}}}) == [
        "train.patch: 100 is no multiple of 2^model.depth = 2^4 = 16 (experiment a-patch_100); use 96 or 112"
    ]
    assert mistakes({"dataset": DATASET, "experiments": {"a": {"sweep": {"train.lr": 3}}}}) == [
        "experiments.a.sweep.train.lr: 3 is not possible; write a list"
    ]
    assert mistakes({"dataset": DATASET, "experiments": {"a": {"sweep": {"trainlr": [3]}}}}) == [
        "experiments.a.sweep: unknown option `trainlr`; did you mean `train.lr`?"
    ]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_are_valid_and_described(preset):
    resolve_config({"preset": preset, "dataset": DATASET}, PRESETS, SCHEMA)

    assert preset in SCHEMA["properties"]["preset"]["enum"]


def test_every_option_has_a_meaning_and_optional_ones_a_default():
    rows = list(option_rows(SCHEMA))

    assert all(meaning for *_, meaning in rows)
    without = [name for name, values, default, _ in rows if values != "section" and default == "–"]
    assert without == [
        "dataset.source.image_pattern",
        "dataset.source.annotation_pattern",
        "dataset.split.pattern",
        "dataset.split.block",
        "dataset.split.table",
        "preannotate.images",
        "preannotate.output",
    ]
