"""Object masks: a file an object or numbers in one file, and everything that would lose or mix up objects is found."""

import time

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskmill.annotations import instances
from maskmill.annotations.formats import LabelOptions
from maskmill.annotations.shapes import AnnotationError
from maskmill.errors import MaskmillError


def save(path, values, dtype=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, dtype=dtype)).save(path)
    return path


def read(path, *classes, background="rest"):
    return instances.read(path, LabelOptions(classes or ("cell",), background))


def findings(path, *classes):
    with pytest.raises(AnnotationError) as caught:
        read(path, *classes)
    return caught.value.findings


def test_a_file_an_object(tmp_path):
    save(tmp_path / "m" / "b.png", [[0, 0, 255, 0]])
    save(tmp_path / "m" / "a.png", [[255, 255, 0, 0]])
    (tmp_path / "m" / ".hidden.png").write_text("")
    (tmp_path / "m" / "notes.txt").write_text("")
    annotation = read(tmp_path / "m")
    np.testing.assert_array_equal(annotation.object_values, [[1, 1, 2, 0]])
    np.testing.assert_array_equal(annotation.label_values, [[1, 1, 1, 0]])
    assert (annotation.height, annotation.width) == (1, 4)
    assert (annotation.label_values.dtype, annotation.object_values.dtype) == (np.uint8, np.int32)


def test_later_objects_cover_earlier_ones(tmp_path):
    save(tmp_path / "1.png", [[255, 255, 255]])
    save(tmp_path / "2.png", [[0, 255, 0]])
    np.testing.assert_array_equal(read(tmp_path).object_values, [[1, 2, 1]])


@pytest.mark.parametrize("white", [1, 7, 255])
def test_any_one_value_is_the_object(tmp_path, white):
    save(tmp_path / "a.png", [[0, white, 0]])
    np.testing.assert_array_equal(read(tmp_path).label_values, [[0, 1, 0]])


def test_object_masks_of_other_kinds(tmp_path):
    save(tmp_path / "a.png", np.array([[1, 0, 0, 0]]), bool)
    save(tmp_path / "b.png", np.array([[0, 65535, 0, 0]]), np.uint16)
    save(tmp_path / "c.png", np.array([[0, 0, 255, 0]])[:, :, None].repeat(3, axis=2))
    tifffile.imwrite(tmp_path / "d.tif", np.array([[0, 0, 0, 1]], dtype=np.uint8))
    np.testing.assert_array_equal(read(tmp_path).object_values, [[1, 2, 3, 4]])


def test_a_mask_without_a_pixel_alone_says_that_there_is_no_object(tmp_path):
    save(tmp_path / "none.png", [[0, 0]])
    annotation = read(tmp_path)
    assert not annotation.label_values.any()
    assert not annotation.object_values.any()


def test_a_folder_a_class(tmp_path):
    save(tmp_path / "nucleus" / "1.png", [[255, 0, 0, 0, 0]])
    save(tmp_path / "cell" / "1.png", [[255, 255, 0, 0, 0]])
    save(tmp_path / "cell" / "2.png", [[0, 0, 255, 0, 0]])
    save(tmp_path / "__ignore__" / "1.png", [[0, 0, 0, 255, 0]])
    save(tmp_path / "dirt" / "1.png", [[0, 0, 255, 0, 255]])
    annotation = read(tmp_path, "cell", "nucleus", background=["dirt"])
    np.testing.assert_array_equal(annotation.label_values, [[2, 1, 0, 255, 0]])
    np.testing.assert_array_equal(annotation.object_values, [[3, 1, 0, 0, 0]])
    only = read(tmp_path / "cell", "cell")
    np.testing.assert_array_equal(only.object_values, [[1, 1, 2, 0, 0]])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_object_numbers(tmp_path, dtype):
    numbers = np.array([[0, 1, 5, 120]])
    tifffile.imwrite(tmp_path / "a.tif", numbers.astype(dtype))
    annotation = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(annotation.object_values, numbers)
    np.testing.assert_array_equal(annotation.label_values, numbers > 0)
    assert (annotation.label_values.dtype, annotation.object_values.dtype) == (np.uint8, np.int32)


def test_object_numbers_of_png_and_palette_pictures(tmp_path):
    save(tmp_path / "a.png", [[0, 1, 40000]], np.uint16)
    np.testing.assert_array_equal(read(tmp_path / "a.png").object_values, [[0, 1, 40000]])
    palette = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8))
    palette.putpalette(list(range(250, 256)) * 128)
    palette.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png").object_values, [[0, 1, 2]])
    assert not read(save(tmp_path / "a.png", [[0, 0]])).object_values.any()


def test_pages_and_volumes_of_numbers(tmp_path):
    stack = np.random.default_rng(0).integers(0, 400, (6, 5, 4), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    np.testing.assert_array_equal(read(tmp_path / "a.tif").object_values, stack)
    np.testing.assert_array_equal(read(f"{tmp_path}/a.tif#page=4").object_values, stack[4])


@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6).filter(any), min_size=1, max_size=5))
def test_files_against_a_loop(tmp_path_factory, objects):
    folder = tmp_path_factory.mktemp("i")
    expected = np.zeros(6, int)
    for number, row in enumerate(objects, 1):
        save(folder / f"{number}.png", np.array([row]) * 255)
        expected = np.where(row, number, expected)
    np.testing.assert_array_equal(read(folder).object_values, expected[None])


def folder_of(*masks, **named):
    def write(folder):
        for number, mask in enumerate(masks):
            save(folder / f"{number}.png", mask)
        for name, mask in named.items():
            save(folder / name / "1.png", mask)

    return write


def lossy(folder):
    folder_of([[255]])(folder)
    Image.new("L", (2, 2)).save(folder / "x.jpg")


def damaged(folder):
    folder_of([[255]])(folder)
    (folder / "x.png").write_text("no picture")


def transparent(folder):
    pixels = np.array([[[255, 255, 255, 255], [255, 255, 255, 0]]])
    save(folder / "x.png", pixels)


BAD_FOLDERS = {
    "empty object": (folder_of([[255, 0]], [[0, 0]]), ("cell",), "empty_object", "1.png has no pixel"),
    "sizes": (folder_of([[1, 0]], [[1], [0]]), ("cell",), "size_mismatch", "1.png has 1 × 2 pixels, the masks before"),
    "grey": (folder_of([[0, 80, 255]]), ("cell",), "unexpected_value", "0.png: more values than 0 and one other"),
    "colours": (folder_of([[[9, 0, 0], [0, 9, 0]]]), ("cell",), "unexpected_value", "0.png: colours where the mask"),
    "no mask": (lambda folder: None, ("cell",), "broken_annotation", "holds no mask"),
    "JPEG": (lossy, ("cell",), "broken_annotation", "x.jpg is no mask"),
    "damaged": (damaged, ("cell",), "broken_annotation", "x.png: it is no picture"),
    "transparent": (transparent, ("cell",), "unexpected_value", "x.png: 1 wholly transparent"),
    "unknown folder": (folder_of(a=[[255]]), ("cell", "gap"), "unknown_label", 'folder "a" (1 mask); known are cell'),
    "class missing": (folder_of([[255]], [[1]]), ("cell", "gap"), "unknown_label", "2 masks whose class is written"),
}

BAD_NUMBERS = {
    "0/255": ([[0, 255]], np.uint8, "a 0/255 mask where object numbers"),
    "0/65535": ([[0, 65535]], np.uint16, "a 0/65535 mask"),
    "below zero": ([[-1, 0, 2]], np.int16, "no object numbers: -1 (1 px)"),
    "fractions": ([[0, 0.5, 2]], np.float32, "no object numbers: 0.5 (1 px)"),
    "NaN": ([[0, np.nan]], np.float32, "no object numbers: nan (1 px)"),
    "too large": ([[0, 2**31]], np.uint32, "no object numbers: 2147483648 (1 px)"),
    "colours": ([[[1, 2, 3], [4, 5, 6]]], np.uint8, "colours where object numbers are expected: #010203 (1 px)"),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_folders_that_lose_or_mix_up_objects(tmp_path, case):
    write, classes, kind, words = BAD_FOLDERS[case]
    write(tmp_path)
    (found,) = findings(tmp_path, *classes)
    assert found.kind == kind
    assert words in found.detail
    assert found.remedy


@pytest.mark.parametrize("case", BAD_NUMBERS)
def test_values_that_are_no_object_numbers(tmp_path, case):
    values, dtype, words = BAD_NUMBERS[case]
    tifffile.imwrite(tmp_path / "a.tif", np.array(values, dtype=dtype))
    (found,) = findings(tmp_path / "a.tif")
    assert found.kind == "unexpected_value"
    assert words in found.detail
    assert "1, 2, 3 and so on" in found.remedy


def test_everything_wrong_is_said_at_once(tmp_path):
    folder_of([[255, 0]], [[0, 0]], [[1]], [[3, 7]])(tmp_path)
    (tmp_path / "x.png").write_text("no picture")
    found = findings(tmp_path)
    assert sorted(one.kind for one in found) == [
        "broken_annotation",
        "empty_object",
        "size_mismatch",
        "unexpected_value",
    ]


def test_numbers_do_not_say_of_which_class_they_are(tmp_path):
    with pytest.raises(MaskmillError, match="has 2; name one class, or give every picture a folder"):
        read(save(tmp_path / "a.png", [[0, 1]]), "cell", "gap")


def test_fifty_objects_of_1024_squared_pixels_take_less_than_a_second(tmp_path):
    rows, columns = np.mgrid[:1024, :1024]
    for number in range(50):
        save(tmp_path / f"{number:02}.png", ((rows - 20 * number) ** 2 + (columns - 500) ** 2 < 900) * 255)
    start = time.process_time()
    assert read(tmp_path).object_values.max() == 50
    assert time.process_time() - start < 1


@pytest.mark.real
def test_nuclei(real_data):
    folders = sorted((real_data / "dsb2018_nuclei" / "stage1_train").glob("*/masks"))
    assert len(folders) > 50
    for folder in folders[::6]:
        files = sorted(folder.glob("*.png"))
        annotation = read(folder, "nucleus")
        expected = np.zeros(annotation.label_values.shape, int)
        for number, file in enumerate(files, 1):
            with Image.open(file) as image:
                expected[np.asarray(image) == 255] = number
        np.testing.assert_array_equal(annotation.object_values, expected)
        assert len(np.unique(annotation.object_values)) == len(files) + 1
        with Image.open(next((folder.parent / "images").iterdir())) as picture:
            assert annotation.label_values.shape == picture.size[::-1]


@pytest.mark.real
def test_stardist_label_maps(real_data):
    root = real_data / "stardist_samples" / "data_images"
    flat = read(root / "mask2d.tif", "nucleus")
    assert flat.label_values.shape == (512, 512)
    assert len(np.unique(flat.object_values)) == 126
    assert round(100 * flat.label_values.mean(), 1) == 19.9
    deep = read(root / "mask3d.tif", "nucleus")
    np.testing.assert_array_equal(deep.object_values, tifffile.imread(root / "mask3d.tif"))
    page = read(f"{root}/mask3d.tif#page=15", "nucleus")
    np.testing.assert_array_equal(page.object_values, deep.object_values[15])
    assert page.object_values.any()
