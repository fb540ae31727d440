"""Where the options of an experiment, each fine by itself, do not go together; standard library only.

What the plan decides ("auto") is left to the plan.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from maskmill.dag.step_checks import Mistake, step_mistakes
from maskmill.sizes import Size, as_size
from maskmill.wording import count_of

LARGEST_PATCH = 2**23
"""Voxels of a 3D patch above which no GPU holds its training; 203 a side."""

Options = Mapping[str, Mapping[str, Any]]


def experiment_mistakes(experiments: Mapping[str, Options], dataset: Mapping[str, Any]) -> Iterator[str]:
    """A line on each mistake, with the experiments that make it.

    experiments: experiment → its sections of options. dataset: the section of that name.
    """
    volumes, classes = dataset["source"]["stacks"] == "volume", list(dataset["classes"])
    found: dict[Mistake, list[str]] = {}
    for experiment, options in experiments.items():
        for mistake in option_mistakes(options, volumes, classes):
            found.setdefault(mistake, []).append(experiment)
    for (finding, remedy), names in found.items():
        yield f"{finding} (experiment {', '.join(names)}); {remedy}"


def option_mistakes(options: Options, volumes: bool, classes: Sequence[str]) -> Iterator[Mistake]:
    """Mistakes of one experiment; volumes: whether samples are volumes; classes: names, without the background."""
    yield from planned_mistakes(options, volumes, len(classes))
    yield from batch_mistakes(options["model"], options["train"], _dimensions(options["model"], volumes))
    yield from _training_mistakes(options["train"])
    yield from step_mistakes(options["postprocess"]["steps"], classes, volumes)


def planned_mistakes(options: Options, volumes: bool, classes: int) -> Iterator[Mistake]:
    """Mistakes among what a plan may decide: network, patch and tile, losses.

    options: the sections model, loss and train, and predict where there is one.
    """
    model, dimensions = options["model"], _dimensions(options["model"], volumes)
    yield from _network_mistakes(dimensions, model["depth"], model["planar"], volumes)
    patch, tile = options["train"]["patch"], options.get("predict", {}).get("tile", "auto")
    for place, value in (("train.patch", patch), ("predict.tile", tile)):
        if value != "auto":
            yield from _size_mistakes(place, value, model, dimensions)
            yield from _instance_mistakes(place, value, model, dimensions)
    if dimensions == 3 and patch != "auto":
        yield from _volume_mistakes(patch)
    yield from _prediction_mistakes(options.get("predict", {}), model, dimensions)
    yield from _loss_mistakes(options["loss"], classes)


def _dimensions(model: Mapping[str, Any], volumes: bool) -> int:
    """Of the network: those that the plan would propose where they are left to it."""
    if model["dimensions"] == "auto":
        return 3 if volumes else 2
    return model["dimensions"]


def _network_mistakes(dimensions: int, depth: int | str, planar: int | str, volumes: bool) -> Iterator[Mistake]:
    if dimensions == 3 and not volumes:
        yield (
            "model.dimensions: 3 needs volumes, but every slice of a stack is a sample of its own",
            "write dataset: {source: {stacks: volume}}, or dimensions: 2",
        )
    if dimensions == 3 and "auto" not in (depth, planar) and planar > depth:
        yield f"model.planar: {planar} steps of only {depth} (model.depth)", f"use {depth} at most, or auto"


def _prediction_mistakes(predict: Mapping[str, Any], model: Mapping[str, Any], dimensions: int) -> Iterator[Mistake]:
    wide = {"architecture": "early_exit_unet", "attention": "cbam"}
    reasons = [f"model.{name} {value}" for name, value in wide.items() if model[name] == value]
    reasons += [f"model.norm {model['norm']}"] if model["norm"] in ("group", "instance") else []
    if predict.get("overlap") == "exact" and reasons:
        yield (
            f"predict.overlap: exact, but with {' and '.join(reasons)} the network looks at a tile as a whole",
            "give a share such as 0.2",
        )
    if predict.get("tta") == "rotations" and dimensions == 3:
        yield "predict.tta: rotations, but the axes of volumes are not alike", "write flips"


def _size_mistakes(
    place: str, value: int | Sequence[int], model: Mapping[str, Any], dimensions: int
) -> Iterator[Mistake]:
    """Of a patch or tile, which the network must be able to halve as often as it is deep, if that is known."""
    depth = model["depth"]
    if isinstance(value, int):
        if depth != "auto" and value % 2**depth:
            below, above = value // 2**depth * 2**depth, (value // 2**depth + 1) * 2**depth
            yield (
                f"{place}: {value} is no multiple of 2^model.depth = 2^{depth} = {2**depth}",
                f"use {f'{below} or ' if below >= 32 else ''}{above}",
            )
        return
    size = as_size(value, dimensions)
    if dimensions == 3 and len(value) == 2:
        yield f"{place}: {list(value)} has no depth, which a 3D network needs", "write [depth, height, width], or auto"
    elif dimensions == 2 and size[0] != 1:
        yield f"{place}: {list(value)} has a depth, but the network is 2D", f"write {list(size[1:])}"
    elif depth != "auto":
        stride = _known_stride(dimensions, depth, model["planar"])
        if any(side % step for side, step in zip(size, stride, strict=True)):
            above = [math.ceil(side / step) * step for side, step in zip(size, stride, strict=True)][-len(value) :]
            yield (
                f"{place}: {list(value)} is no multiple of {list(stride[-len(value) :])}, which a network of "
                f"model.depth {depth} needs",
                f"use {above}",
            )


def _known_stride(dimensions: int, depth: int, planar: int | str) -> Size:
    """What a patch must be a multiple of along each axis, 1 where the plan will see to it."""
    if dimensions == 2 or planar == "auto":
        return 1, 2**depth, 2**depth
    return network_stride(dimensions, depth, planar)


def network_stride(dimensions: int, depth: int, planar: int) -> Size:
    """Factor between the picture and the deepest level along (depth, height, width)."""
    return (1 if dimensions == 2 else 2 ** max(0, depth - planar)), 2**depth, 2**depth


def _volume_mistakes(patch: int | Sequence[int]) -> Iterator[Mistake]:
    depth, height, width = as_size(patch, 3)
    if depth * height * width > LARGEST_PATCH:
        yield (
            f"train.patch: in 3D {patch} is {depth} x {height} x {width} voxels, more than a GPU holds",
            "write auto, or [depth, height, width], such as [64, 96, 96]",
        )


def _instance_mistakes(
    place: str, value: int | Sequence[int], model: Mapping[str, Any], dimensions: int
) -> Iterator[Mistake]:
    if model["norm"] == "instance" and _leaves_one_pixel(value, model, dimensions):
        yield (
            f"model.norm: instance cannot work on a single pixel, and {model['depth']} steps (model.depth) leave no "
            f"more of {place}: {value}",
            f"use a larger {place}, or a smaller model.depth",
        )


def batch_mistakes(model: Mapping[str, Any], train: Mapping[str, Any], dimensions: int) -> Iterator[Mistake]:
    """Where batch norm gets a single value a channel: one patch of which the network leaves one pixel.

    model, train: the sections of that name. What of a patch, a batch and an epoch is still "auto" raises no doubt.
    """
    patch, batch, patches = train["patch"], train["batch_size"], train["patches_per_epoch"]
    devices = train["devices"] * train["nodes"]
    if model["norm"] != "batch" or "auto" in (patch, batch) or not _leaves_one_pixel(patch, model, dimensions):
        return
    if batch == 1:
        where = "with train.batch_size: 1"
    elif patches != "auto" and patches % (batch * devices) // devices == 1:
        where = f"in the last batch of an epoch ({patches} patches, {batch * devices} a step)"
    else:
        return
    yield (
        f"model.norm: batch cannot work on a single pixel of a single patch, and {model['depth']} steps (model.depth) "
        f"leave no more of train.patch: {patch} {where}",
        "use a larger train.patch, a smaller model.depth, or model.norm: group",
    )


def _leaves_one_pixel(value: int | Sequence[int], model: Mapping[str, Any], dimensions: int) -> bool:
    """Whether the deepest level sees one pixel of a patch or tile; not where the plan decides on the network."""
    planar = model["planar"] if dimensions == 3 else 0
    if "auto" in (model["depth"], planar):
        return False
    return as_size(value, dimensions) == network_stride(dimensions, model["depth"], planar)


def _loss_mistakes(loss: Mapping[str, Any], classes: int) -> Iterator[Mistake]:
    if not any(loss[part] for part in ("ce", "dice", "lovasz", "boundary")):
        yield "loss: every weight is 0", "give at least one of ce, dice, lovasz and boundary a weight"
    weights = loss["class_weights"]
    if weights in (None, "auto"):
        return
    if len(weights) != classes + 1:
        yield (
            f"loss.class_weights: {count_of(len(weights), 'weight')} for {count_of(classes, 'class', 'classes')}",
            f"write {classes + 1}, the first for the background",
        )
    elif not 0 < sum(weights) < math.inf:
        what = "every weight is 0" if not any(weights) else "the weights are infinite"
        yield f"loss.class_weights: {what}", "give the classes weights above 0, or write null"


def _training_mistakes(train: Mapping[str, Any]) -> Iterator[Mistake]:
    if train["patience"] >= train["epochs"]:
        yield (
            f"train.patience: {train['patience']} epochs without progress cannot happen in {train['epochs']} epochs",
            "use fewer, or 0",
        )
