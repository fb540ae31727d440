"""Pictures to try the page with."""

from dataclasses import replace

import pytest

from maskmill.classes import Classes
from maskmill.deployment.bundle import load_bundle
from maskmill.errors import MaskmillError
from maskmill.imaging.pixel_area import pixel_area
from maskmill.serving.examples import MOST, draw_examples, read_examples
from maskmill.serving.segmenter import Segmenter


@pytest.fixture
def demo_recipe(bundle):
    """The recipe of a bundle that has learnt the demo's classes."""
    return replace(load_bundle(bundle).recipe, classes=Classes.from_config(["building", "road"]))


def test_scenes_are_drawn_for_bundles_of_the_demo(demo_recipe):
    found = draw_examples(demo_recipe)

    assert list(found) == ["scene 1.jpg", "scene 2.jpg", "scene on the map.tif"]
    assert len(set(found.values())) == 3
    segmenter = Segmenter(demo_recipe, runtime=None)
    uploads = [segmenter.admit(name, content) for name, content in found.items()]
    areas = [pixel_area(upload.file, is_volume=False) for upload in uploads]
    assert areas[:2] == [None, None]
    assert areas[2] == pytest.approx(1 / 9, rel=2e-3)


def test_bundles_of_other_pictures_have_no_drawn_examples(bundle, demo_recipe):
    assert draw_examples(load_bundle(bundle).recipe) == {}
    grey = replace(demo_recipe, preprocessing=replace(demo_recipe.preprocessing, channels=1))
    assert draw_examples(grey) == {}


def test_a_folder_gives_its_first_pictures(tmp_path):
    for number in range(MOST + 2):
        (tmp_path / f"{number}.JPG").write_bytes(bytes([number]))
    (tmp_path / "0.txt").write_text("notes")
    (tmp_path / "00.png").mkdir()

    assert read_examples(tmp_path) == {f"{number}.JPG": bytes([number]) for number in range(MOST)}


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(MaskmillError, match="has no pictures"):
        read_examples(tmp_path)
    with pytest.raises(MaskmillError, match="is no folder"):
        read_examples(tmp_path / "missing")
