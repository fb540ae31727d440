"""Steps that cannot work as they are written are found while planning, with what to write instead."""

from pathlib import Path

import pytest
import yaml

from maskmill.dag.configuration import resolve_config
from maskmill.dag.step_checks import step_mistakes
from maskmill.errors import MaskmillError
from maskmill.steps import KINDS, read_steps

ROOT = Path(__file__).parents[3]
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
PRESETS = {
    file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) for file in (ROOT / "config/presets").glob("*.yaml")
}


def mistakes(steps, volumes=False):
    return list(step_mistakes(yaml.safe_load(steps), ["roof", "road"], volumes))


def refused(steps):
    """What the schema says about the steps, without bullets."""
    config = {
        "dataset": {"name": "n", "source": {"format": "labelme", "images": "i", "annotations": "a"}, "classes": ["a"]},
        "postprocess": {"steps": yaml.safe_load(steps)},
    }
    with pytest.raises(MaskmillError) as error:
        resolve_config(config, PRESETS, SCHEMA)
    return [line.removeprefix("  - ") for line in str(error.value).splitlines()[1:]]


def test_fitting_steps_pass():
    assert not mistakes("[closing, {step: remove_small, area: [50, 20 m2], classes: [roof], always: true}]")
    assert not mistakes("[split_touching, {step: fill_holes, area: 3 mm3}]", volumes=True)


@pytest.mark.parametrize(
    ("steps", "finding", "remedy"),
    [
        ("[{step: closing, area: 5}]", "closing has no `area`", "use `radius`"),
        ("[{step: keep_largest, area: 5}]", "keep_largest has no `area`", "leave it out"),
        ("[{step: closing, classes: [rof]}]", "closing is to work on rof, which is no class",
         "write some of roof, road"),
        ("[{step: fill_holes, area: 3 mm3}]", "fill_holes has the area 3 mm3, cubic millimetres of a volume, but "
         "samples are pictures", "give it in m2, or as a number of pixels"),
    ],
)  # fmt: skip
def test_mistakes_of_steps(steps, finding, remedy):
    assert mistakes(steps) == [(f"postprocess.steps: {finding}", remedy)]


def test_steps_for_pictures_alone_are_refused_where_they_must_be_done():
    ((finding, remedy),) = mistakes("[{step: split_touching, always: true}]", volumes=True)

    assert finding == "postprocess.steps: split_touching works on pictures, but samples are volumes"
    assert remedy == "leave it out, or write dataset: {source: {stacks: slices}}"


@pytest.mark.parametrize(
    ("steps", "line"),
    [
        ("[{step: remove_smal}]", "postprocess.steps.0.step: remove_smal is not possible; did you mean `remove_small`? "
         f"possible: {', '.join(KINDS)}"),
        ("[{step: closing, raduis: 3}]", "postprocess.steps.0: unknown key `raduis`; did you mean `radius`?"),
        ("[{step: fill_holes, area: 20 sqm}]", 'postprocess.steps.0.area: "20 sqm" is not possible; write a number of '
         "pixels, or one with its unit, such as 20 m2 or 5 mm3"),
    ],
)  # fmt: skip
def test_misspelt_steps_are_answered_with_what_to_write(steps, line):
    assert refused(steps) == [line]


def test_the_schema_knows_every_step_and_parameter():
    names, mapping = SCHEMA["$defs"]["postprocess"]["properties"]["steps"]["items"]["oneOf"]

    assert names["enum"] == mapping["properties"]["step"]["enum"] == list(KINDS)
    parameters = {kind.parameter for kind in KINDS.values()} - {""}
    assert mapping["properties"].keys() == parameters | {"step", "classes", "always"}


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_name_steps_that_work(preset):
    assert not list(step_mistakes(PRESETS[preset]["postprocess"]["steps"], ["roof"], volumes=True))
    assert read_steps(PRESETS[preset]["postprocess"]["steps"])
