"""TIFF files of several pages are stacks of slices, where the pages are no bands, copies or masks."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from maskmill.imaging.images import ImageError, read_image
from maskmill.imaging.tiff import read_tiff_pages
from maskmill.imaging.volumes import is_stack, read_page, stack_header
from tests.unit.volume_data import assert_reads_stack, save_lzw

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 65535, (6, 20, 30), dtype=np.uint16)
COLOURS = RNG.integers(0, 255, (6, 20, 30, 3), dtype=np.uint8)
BILEVEL = STACK > 30000


TIFF_STACKS = {
    "plain": (STACK, {"photometric": "minisblack"}),
    "big endian": (STACK, {"photometric": "minisblack", "byteorder": ">"}),
    "deflate": (STACK, {"photometric": "minisblack", "compression": "zlib"}),
    "predictor, big endian": (STACK, {"compression": "zlib", "predictor": 2, "byteorder": ">"}),
    "one directory": (STACK, {"photometric": "minisblack", "truncate": True}),
    "bigtiff": (STACK, {"bigtiff": True, "tile": (16, 16)}),
    "imagej": (STACK, {"imagej": True, "metadata": {"axes": "ZYX"}}),
    "ome": (STACK, {"ome": True, "metadata": {"axes": "ZYX"}}),
    "time": (STACK, {"ome": True, "metadata": {"axes": "TYX"}}),
    "three slices": (STACK[:3], {"photometric": "minisblack", "metadata": {"axes": "ZYX"}}),
    "rgb": (COLOURS, {"photometric": "rgb", "compression": "zlib"}),
    "planar": (COLOURS.transpose(0, 3, 1, 2), {"photometric": "rgb", "planarconfig": "separate"}),
    "channels": (STACK.reshape(3, 2, 20, 30), {"ome": True, "metadata": {"axes": "ZCYX"}}),
    "channels first": (STACK.reshape(2, 3, 20, 30), {"ome": True, "metadata": {"axes": "CZYX"}, "compression": "zlib"}),
    "floats": (STACK.astype(np.float32), {"photometric": "minisblack"}),
}


@pytest.mark.parametrize(("stored", "options"), TIFF_STACKS.values(), ids=TIFF_STACKS)
def test_tiff_stacks(tmp_path, stored, options):
    tifffile.imwrite(tmp_path / "a.tif", stored, **options)
    axes = options.get("metadata", {}).get("axes")
    if axes == "ZCYX" or options.get("planarconfig"):
        stored = stored.transpose(0, 2, 3, 1)
    elif axes == "CZYX":
        stored = stored.transpose(1, 2, 3, 0)
    assert is_stack(tmp_path / "a.tif")
    assert_reads_stack(tmp_path / "a.tif", stored)


def test_compressed_pages_read_one_by_one_are_decoded_once(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(
        "maskmill.imaging.tiff.read_tiff_pages",
        lambda *arguments: opened.append(arguments) or read_tiff_pages(*arguments),
    )
    tifffile.imwrite(tmp_path / "a.tif", STACK, photometric="minisblack", compression="zlib")
    for number in range(6):
        np.testing.assert_array_equal(read_page(tmp_path / "a.tif", number)[..., 0], STACK[number])
    assert len(opened) == 1


def test_pages_that_only_gdal_decodes(tmp_path):
    save_lzw(tmp_path / "a.tif", COLOURS)
    assert_reads_stack(tmp_path / "a.tif", COLOURS)


def test_pages_of_bilevel_palette_and_cmyk(tmp_path):
    tifffile.imwrite(tmp_path / "b.tif", BILEVEL, photometric="minisblack")
    assert_reads_stack(tmp_path / "b.tif", BILEVEL.astype(np.uint8) * 255)
    assert_reads_stack(tmp_path / "b.tif", BILEVEL.astype(np.uint8), raw=True)
    pages = [Image.fromarray(page % 3) for page in COLOURS[..., 0]]
    for page in pages:
        page.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    pages[0].save(tmp_path / "p.tif", save_all=True, append_images=pages[1:])
    palette = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]], np.uint8)
    assert_reads_stack(tmp_path / "p.tif", palette[COLOURS[..., 0] % 3])
    assert_reads_stack(tmp_path / "p.tif", COLOURS[..., 0] % 3, raw=True)
    pages = [Image.fromarray(page).convert("CMYK") for page in COLOURS]
    pages[0].save(tmp_path / "c.tif", save_all=True, append_images=pages[1:])
    assert_reads_stack(tmp_path / "c.tif", np.stack([np.asarray(page.convert("RGB")) for page in pages]))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {
                "ome": True,
                "metadata": {"axes": "ZYX", "PhysicalSizeZ": 2, "PhysicalSizeY": 0.5, "PhysicalSizeX": 0.25},
            },
            (2, 0.5, 0.25),
        ),
        (
            {
                "ome": True,
                "metadata": {
                    "axes": "ZYX",
                    **{f"PhysicalSize{axis}": 500 for axis in "ZYX"},
                    **{f"PhysicalSize{axis}Unit": "nm" for axis in "ZYX"},
                },
            },
            (0.5, 0.5, 0.5),
        ),
        (
            {"imagej": True, "resolution": (4, 2), "metadata": {"axes": "ZYX", "spacing": 2.0, "unit": "um"}},
            (2, 0.5, 0.25),
        ),
        (
            {"imagej": True, "resolution": (4, 4), "metadata": {"axes": "ZYX", "spacing": 1, "unit": "\\u00B5m"}},
            (1, 0.25, 0.25),
        ),
        ({"imagej": True, "metadata": {"axes": "ZYX"}}, None),
        ({"photometric": "minisblack", "resolution": (72, 72)}, None),
    ],
    ids=["ome", "nanometres", "imagej", "micro sign", "imagej without", "resolution of a print"],
)
def test_spacing_of_microscopy_files(tmp_path, options, expected):
    tifffile.imwrite(tmp_path / "a.tif", STACK, **options)
    header = stack_header(tmp_path / "a.tif")
    assert header.unit == ("µm" if expected else "px")
    np.testing.assert_allclose(header.spacing, expected or (1, 1, 1), rtol=1e-6)
    assert header.affine is None


def write_pyramid(path):
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(COLOURS[0], photometric="rgb", subifds=1)
        tiff.write(COLOURS[0, ::2, ::2], photometric="rgb", subfiletype=1)


def write_thumbnail(path):
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(COLOURS[0], photometric="rgb", metadata=None)
        tiff.write(COLOURS[0, ::4, ::4], photometric="rgb", metadata=None)


def write_mask(path):
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(COLOURS[0, ..., 0], photometric="minisblack", metadata=None)
        tiff.write(BILEVEL[0], photometric="minisblack", metadata=None)


NO_STACKS = {
    "grey": lambda path: tifffile.imwrite(path, STACK[0]),
    "rgb": lambda path: tifffile.imwrite(path, COLOURS[0], photometric="rgb"),
    "planar": lambda path: tifffile.imwrite(path, STACK[:5], photometric="minisblack", planarconfig="separate"),
    "bands of an array": lambda path: tifffile.imwrite(path, STACK[:4], photometric="minisblack"),
    "channels": lambda path: tifffile.imwrite(path, STACK, photometric="minisblack", metadata={"axes": "CYX"}),
    "pyramid": write_pyramid,
    "thumbnail": write_thumbnail,
    "mask": write_mask,
    "png": lambda path: Image.fromarray(COLOURS[0]).save(path, format="PNG"),
    "damaged": lambda path: path.write_bytes(b"II*\0broken"),
    "missing": lambda path: None,
}


@pytest.mark.parametrize("write", NO_STACKS.values(), ids=NO_STACKS)
def test_pages_that_are_no_slices_make_no_stack(tmp_path, write):
    write(tmp_path / "a.tif")
    assert not is_stack(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=r"a\.tif"):
        stack_header(tmp_path / "a.tif")


def test_other_files_that_a_file_names_are_not_read(tmp_path):
    """OME-XML may say that a slice lies in another file, which a picture that is handed in must not have read."""
    tifffile.imwrite(tmp_path / "other.tif", np.full((8, 8), 77, np.uint8))
    (tmp_path / "in").mkdir()
    slices = "".join(
        f'<TiffData IFD="0" FirstZ="{z}" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{z}</UUID></TiffData>'
        for z, name in enumerate(["a.ome.tif", "../other.tif"])
    )
    pixels = 'ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="8" SizeY="8" SizeC="1" SizeZ="2" SizeT="1"'
    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0">'
        f'<Image ID="Image:0"><Pixels {pixels}><Channel ID="Channel:0:0" SamplesPerPixel="1"/>{slices}</Pixels></Image>'
        "</OME>"
    )
    tifffile.imwrite(tmp_path / "in/a.ome.tif", np.zeros((8, 8), np.uint8), description=text, metadata=None)

    assert not is_stack(tmp_path / "in/a.ome.tif")
    assert np.array_equal(read_image(tmp_path / "in/a.ome.tif"), np.zeros((8, 8, 1)))
