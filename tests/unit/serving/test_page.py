"""The page, run by Streamlit without a browser."""

import io

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from maskmill.files import read_json, sha256_file, write_json
from maskmill.inference.runtimes import OnnxRuntime
from maskmill.serving import segmenter
from maskmill.serving.page import VIEWS, plain, show_metres, table

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


class CountingRuntime(OnnxRuntime):
    """ONNX Runtime that counts what all of its kind are given."""

    batches = 0

    def __call__(self, batch):
        CountingRuntime.batches += 1
        return super().__call__(batch)


@pytest.fixture(autouse=True)
def counting(monkeypatch):
    CountingRuntime.batches = 0
    monkeypatch.setattr(segmenter, "OnnxRuntime", CountingRuntime)
    yield
    st.cache_resource.clear()


@pytest.fixture
def decided(monkeypatch):
    """Thresholds of the masks that the page decides, in turn."""
    found, decide = [], segmenter.Segmenter.decide

    def noting(self, prediction, thresholds):
        found.append(tuple(thresholds))
        return decide(self, prediction, thresholds)

    monkeypatch.setattr(segmenter.Segmenter, "decide", noting)
    return found


def script(bundle, examples):
    from maskmill.serving.page import show_page

    show_page(bundle, 1, examples)


def opened(bundle, examples=None):
    app = AppTest.from_function(script, default_timeout=60, args=(bundle, examples)).run()
    assert not app.exception
    return app


@pytest.fixture
def page(bundle, tmp_path):
    """The page with two examples, x.png and y.png, of which the first is shown."""
    for name, other in (("x", "a"), ("y", "b")):
        (tmp_path / f"{name}.png").write_bytes((bundle.parent / f"{other}.png").read_bytes())
    return opened(bundle, tmp_path)


def picture(height=20, kind="PNG"):
    file = io.BytesIO()
    pixels = np.random.default_rng(height).integers(0, 256, (height, 30, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def legends(app):
    """Texts of the classes with what they take."""
    return [one.proto.body for one in app.get("html") if "px" in one.proto.body and "<b" in one.proto.body]


def test_an_example_is_shown_at_once_with_its_classes_and_files(page, bundle):
    assert page.pills(key="chosen").value == "example: x.png"
    assert page.header[0].value == "Maskmill"
    assert page.caption[0].value.startswith("roof, road · test IoU 0.500")
    assert [page.slider(key=f"threshold {name}").value for name in ("roof", "road")] == [0.3, 0.35]
    roof, road = legends(page)
    assert "roof" in roof
    assert "background:#e69f00" in roof
    assert "road" in road
    assert [button.label for button in page.get("download_button")] == ["Mask (PNG)", "Polygons (GeoJSON)"]
    assert not page.error


def test_thresholds_act_at_once_without_predicting_again(page, decided):
    batches, before = CountingRuntime.batches, legends(page)

    page.slider(key="threshold roof").set_value(0.6).run()

    assert decided == [(0.6, 0.35)]
    assert legends(page) != before
    assert not page.exception

    page.button[0].click().run()
    assert page.slider(key="threshold roof").value == 0.3
    assert decided[1:] == [(0.3, 0.35)]
    assert legends(page) == before
    assert CountingRuntime.batches == batches > 0


def test_a_threshold_that_no_slider_shows_is_used_to_the_last_digit(bundle, tmp_path, decided):
    card = read_json(bundle / "bundle.json")
    odd = tmp_path / "odd"
    odd.mkdir()
    for file in bundle.iterdir():
        (odd / file.name).write_bytes(file.read_bytes())
    card["recipe"]["operating_point"]["thresholds"] = [0.33333, 0.9999]
    write_json(odd / "bundle.json", card)

    app = opened(odd, bundle.parent)

    assert decided == [(0.33333, 0.9999)]
    assert app.slider(key="threshold roof").value == 0.33
    assert app.slider(key="threshold road").value == 0.99
    assert app.button[0].disabled
    app.slider(key="threshold roof").set_value(0.4).run()
    assert decided[1:] == [(0.4, 0.9999)]
    assert not app.button[0].disabled


def test_every_view_is_drawn_of_the_same_mask(page, decided):
    seen = {}
    for view in VIEWS:
        page.segmented_control(key="view").set_value(view).run()
        assert not page.exception
        seen[view] = [len(image.proto.imgs) for image in page.image]

    assert decided == []
    assert seen == {view: [1, 1] if view == "Side by side" else [1] for view in VIEWS}


def test_uncertainty_is_explained(page):
    page.segmented_control(key="view").set_value("Uncertainty").run()

    assert any(text.value.startswith("Confidence 0.") for text in page.caption)


def test_pictures_that_are_handed_in_are_shown_and_bad_ones_are_named(page):
    page.file_uploader(key="uploads").set_value(
        [
            ("good.png", picture(), "image/png"),
            ("[bad](x).png", picture()[:100], "image/png"),
            ("diary.jpg", b"dear diary", "image/jpeg"),
            ("other.jpg", picture(40, "JPEG"), "image/jpeg"),
        ]
    )
    page.run()

    assert not page.exception
    truncated, text = (one.value for one in page.error)
    assert truncated.startswith(f"{plain('[bad](x).png')}: it is damaged")
    assert text.startswith(f"{plain('diary.jpg')}: it is no picture in a known format")
    chooser = page.pills(key="chosen")
    assert chooser.options == ["good.png", "other.jpg", "x.png", "y.png"]
    shown = page.session_state["admitted"][chooser.value]
    assert shown.name == "good"


def test_a_picture_of_another_pixel_type_is_refused_or_doubted(page, old_bundle, deep_picture):
    handed = [("deep.tif", deep_picture.read_bytes(), "image/tiff")]
    page.file_uploader(key="uploads").set_value(handed)
    page.run()
    assert plain("it holds uint16 values, but the model was trained on uint8 ones") in page.error[0].value
    assert not page.warning

    old = opened(old_bundle)
    old.file_uploader(key="uploads").set_value(handed)
    old.run()
    assert not old.error
    assert plain("all values above 255 are white") in old.warning[0].value
    assert legends(old)


def test_what_was_chosen_stays_until_more_is_handed_in(page):
    page.file_uploader(key="uploads").set_value([("one.png", picture(), "image/png")])
    page.run()
    page.pills(key="chosen").set_value("example: y.png").run()
    assert page.pills(key="chosen").value == "example: y.png"

    page.slider(key="threshold roof").set_value(0.5).run()
    assert page.pills(key="chosen").value == "example: y.png"

    page.file_uploader(key="uploads").set_value(
        [("one.png", picture(), "image/png"), ("two.png", picture(25), "image/png")]
    )
    page.run()
    names = page.session_state["admitted"]
    assert names[page.pills(key="chosen").value].name in ("one", "two")

    page.file_uploader(key="uploads").set_value([])
    page.run()
    assert page.pills(key="chosen").value == "example: x.png"
    assert not page.exception


def test_many_pictures_are_chosen_from_a_list(page):
    page.file_uploader(key="uploads").set_value([(f"{n}.png", picture(10 + n), "image/png") for n in range(8)])
    page.run()

    assert not page.exception
    assert page.selectbox(key="chosen").options == [*(f"{n}.png" for n in range(8)), "x.png", "y.png"]


def test_without_examples_the_page_asks_for_a_picture(bundle):
    app = opened(bundle)

    assert [one.value for one in app.info] == ["Hand in a picture to see its mask."]
    assert not app.get("download_button")


def test_the_card_of_the_model_stands_beside(page, bundle):
    titles = [one.value for one in page.subheader]
    assert {"Test results", "Where it comes from"} <= set(titles)
    shown = "".join(one.proto.body for one in page.get("html"))
    assert sha256_file(bundle / "model.onnx") in shown
    assert "0.500 (0.250\xa0to\xa00.750)" in shown


def test_names_are_no_markup():
    assert plain("a_[b](http://c) :red[*d*] $e$") == r"a\_\[b\]\(http\://c\) \:red\[\*d\*\] \$e\$"
    assert "&lt;b&gt;" in table([{"class": "<b>"}], header=False)
    assert "<th" not in table([{"class": "roof"}], header=False)


@pytest.mark.parametrize(
    ("area", "text"),
    [(0.0, "0 m²"), (0.418, "0.42 m²"), (12.3, "12 m²"), (3586.2, "3,586 m²"), (12_340_000.0, "12.3 km²")],
)
def test_areas_on_the_ground(area, text):
    assert show_metres(area) == text
