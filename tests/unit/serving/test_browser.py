"""The page in a browser: nothing comes from elsewhere, what is downloaded is what the command line writes."""

import json
import re

import pytest
from playwright.sync_api import expect

from maskmill.cli import main
from tests.unit.serving.browser import PHONE, find_browser, open_browser, open_page, running_app, settle

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning"),
    pytest.mark.skipif(find_browser() is None, reason="no Chromium or Chrome on PATH"),
]

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def browser():
    with open_browser() as found:
        yield found


@pytest.fixture(scope="module")
def examples(bundle, tmp_path_factory):
    """A folder with the picture a.png."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "a.png").write_bytes((bundle.parent / "a.png").read_bytes())
    return folder


@pytest.fixture(scope="module")
def address(bundle, examples):
    with running_app(bundle, ["--examples", str(examples)]) as found:
        yield found


@pytest.fixture
def context(browser):
    """A fresh browser profile that notes what is asked for and what goes wrong: `asked`, `wrong`."""
    context = browser.new_context()
    context.asked, context.wrong = [], []
    context.on("request", lambda request: context.asked.append(request.url))
    context.on("console", lambda message: context.wrong.append(message.text) if message.type == "error" else None)
    context.on("weberror", lambda error: context.wrong.append(str(error.error)))
    yield context
    context.close()


def download(page, name):
    with page.expect_download() as started:
        page.get_by_role("button", name=name).click()
    return started.value


def drop(page, name, content):
    """Drop a file on the page as a hand would."""
    transfer = page.evaluate_handle(
        """([name, bytes]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
            return transfer;
        }""",
        [name, list(content)],
    )
    target = page.get_by_test_id("stFileUploaderDropzone")
    for event in ("dragenter", "dragover", "drop"):
        target.dispatch_event(event, {"dataTransfer": transfer})


def test_what_is_downloaded_is_what_the_command_line_writes(context, address, bundle, tmp_path):
    page = open_page(context, address)
    options = ["--polygons", "geojson", "--threads", "1"]
    assert main(["predict", str(bundle), str(bundle.parent / "b.png"), "-o", str(tmp_path), *options]) == 0

    drop(page, "b.png", (bundle.parent / "b.png").read_bytes())
    expect(page.get_by_test_id("stImage").locator("img")).to_have_attribute("alt", re.compile("^b "))
    settle(page)

    for name, file in (("Mask (PNG)", "b.png"), ("Polygons (GeoJSON)", "b.geojson")):
        found = download(page, name)
        assert found.suggested_filename == file
        assert found.path().read_bytes() == (tmp_path / file).read_bytes()
    assert json.loads((tmp_path / "b.geojson").read_text())["features"]
    elsewhere = [url for url in context.asked if not url.startswith((address, "blob:", "data:"))]
    assert context.asked
    assert not elsewhere
    assert not context.wrong


def test_a_moved_threshold_changes_the_mask_at_once(context, address):
    page = open_page(context, address)
    image, legend = page.get_by_test_id("stImage").locator("img"), page.get_by_text(" px").first
    source, text = image.get_attribute("src"), legend.inner_text()

    page.get_by_role("slider", name="Threshold of roof").press("ArrowRight")

    expect(image).not_to_have_attribute("src", source)
    expect(legend).not_to_have_text(text)
    page.get_by_role("button", name="The bundle’s thresholds").click()
    expect(legend).to_have_text(text)


def test_bad_files_are_named_and_the_good_one_is_shown(context, address, bundle):
    page = open_page(context, address)
    good = (bundle.parent / "b.png").read_bytes()

    page.locator("input[type=file]").set_input_files(
        [
            {"name": "*half*.png", "mimeType": "image/png", "buffer": good[: len(good) // 2]},
            {"name": "good.png", "mimeType": "image/png", "buffer": good},
        ]
    )

    expect(page.get_by_test_id("stAlert")).to_contain_text("*half*.png: it is damaged")
    expect(page.get_by_test_id("stImage").locator("img")).to_have_attribute("alt", re.compile("^good "))


def test_nothing_sticks_out_on_a_phone(browser, address):
    page = open_page(browser, address, PHONE)

    for tab in ("Segment", "Model"):
        page.get_by_role("tab", name=tab).click()
        for view in ("Side by side", "Uncertainty") if tab == "Segment" else ():
            page.get_by_role("radio", name=view).click()
            settle(page)
            assert_fits(page)
        assert_fits(page)
    page.close()


def assert_fits(page):
    """What people press or look at lies within the screen, but for tables, which scroll by themselves."""
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollWidth <= main.clientWidth")
    outside = page.evaluate(
        """() => [...document.querySelectorAll("button, img, label, [role=slider]")]
            .filter(one => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1)
            .map(one => one.outerHTML.slice(0, 200))"""
    )
    assert outside == []
