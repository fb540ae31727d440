"""Photograph the page of a bundle for the documentation: python -m dev.photograph_app BUNDLE."""

import io
import sys
from pathlib import Path

from PIL import Image

from tests.unit.serving.browser import open_browser, open_page, running_app, settle

PHOTOGRAPH = Path(__file__).parents[1] / "docs/images/app.png"


def photograph(bundle: Path) -> None:
    """Write docs/images/app.png: the page with an example that lies on the map, in 256 colours."""
    with running_app(bundle) as address, open_browser() as browser:
        page = open_page(browser, address, (1200, 900))
        page.get_by_role("radio", name="scene on the map.tif").click()
        page.get_by_role("button", name="Mask (TIFF)").wait_for()
        settle(page)
        taken = Image.open(io.BytesIO(page.screenshot(animations="disabled")))
    taken.convert("RGB").quantize(256, kmeans=5).save(PHOTOGRAPH, optimize=True)


if __name__ == "__main__":
    photograph(Path(sys.argv[1]))
