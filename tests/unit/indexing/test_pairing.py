"""Every layout of annotations finds its pictures: files, collections, object folders, layers and stacks."""

import base64
import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from maskmill.errors import MaskmillError
from maskmill.files import read_table
from maskmill.imaging.images import read_instance_png, read_label_png
from tests.unit.label_data import index, label_paths, run_labels, shape, write_labelme, write_mask, write_picture


def read_index(source, output, **options):
    index(source, output, **options)
    return read_table(output / "manifest.csv"), read_table(output / "index_problems.csv")


def source_of(root, name="auto", **other):
    return {"format": name, "images": f"{root}/images", "annotations": f"{root}/annotations"} | other


def coco_file(path, *names, size=(20, 30)):
    """A COCO file with a square building on each of these pictures."""
    content = {
        "images": [{"id": i, "file_name": name, "height": size[0], "width": size[1]} for i, name in enumerate(names)],
        "categories": [{"id": 1, "name": "building"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "segmentation": [[2, 2, 9, 2, 9, 9, 2, 9]], "iscrowd": 0}
            for i in range(len(names))
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def pictures(tmp_path):
    """Three pictures, two of which have the same name in other folders."""
    for name in ("site/a", "other/a", "b"):
        write_picture(tmp_path / "images" / f"{name}.png")
    return tmp_path


def test_entries_of_a_collection_name_their_pictures(pictures):
    coco_file(pictures / "annotations" / "x.json", "site/a.png", "images/other/a.png", "b.jpg")
    rows, problems = read_index(source_of(pictures), pictures / "out")
    assert problems == []
    assert [(row["id"], row["entry"], row["format"]) for row in rows] == [
        ("b", "b.jpg", "coco"),
        ("other/a", "images/other/a.png", "coco"),
        ("site/a", "site/a.png", "coco"),
    ]


def test_collection_may_be_one_file(pictures):
    path = coco_file(pictures / "all.json", "b.png")
    rows, problems = read_index(source_of(pictures, annotations=str(path)), pictures / "out")
    assert [row["id"] for row in rows] == ["b"]
    assert [(problem["id"], problem["kind"]) for problem in problems] == [
        ("other/a", "missing_annotation"),
        ("site/a", "missing_annotation"),
    ]


def test_entries_without_their_picture_and_twice_named_pictures(pictures):
    coco_file(pictures / "annotations" / "x.json", "site/a.png", "other/a.png", "c.png", "a.png")
    coco_file(pictures / "annotations" / "y.json", "b.png", "site/a.png")
    rows, problems = read_index(source_of(pictures), pictures / "out")
    assert [row["id"] for row in rows] == ["b", "other/a"]
    assert [(problem["id"], problem["kind"]) for problem in problems] == [
        ("a", "missing_picture"),
        ("c", "missing_picture"),
        ("site/a", "duplicate_id"),
    ]
    assert "x.json" in problems[2]["detail"]
    assert "y.json" in problems[2]["detail"]


def test_one_edited_entry_changes_one_row(pictures):
    path = coco_file(pictures / "annotations" / "x.json", "site/a.png", "other/a.png", "b.png")
    before, _ = read_index(source_of(pictures), pictures / "before")
    content = json.loads(path.read_text())
    content["annotations"][2]["segmentation"][0][0] = 3
    content["info"] = {"contributor": "someone"}
    path.write_text(json.dumps(content))
    after, _ = read_index(source_of(pictures), pictures / "after")
    assert [a["id"] for a, b in zip(after, before, strict=True) if a != b] == ["b"]


def test_patterns_mean_nothing_for_a_collection(pictures):
    coco_file(pictures / "annotations" / "x.json", "b.png")
    source = source_of(pictures, image_pattern="{stem}.png", annotation_pattern="{stem}.json")
    with pytest.raises(MaskmillError, match="leave the patterns out"):
        index(source, pictures / "out")


def write_objects(folder):
    for number in range(2):
        mask = np.zeros((20, 30))
        mask[2 + 8 * number : 6 + 8 * number, 2:6] = 255
        write_mask(folder / f"{number}.png", mask)


def check_objects(folders, name):
    path = label_paths(folders)[name]
    assert (read_label_png(path) == 1).sum() == 32
    numbers = read_instance_png(path.with_name(f"{path.stem}.instances.png"))
    assert np.unique(numbers, return_counts=True)[1].tolist() == [568, 16, 16]


@pytest.mark.parametrize("place", ["{name}", "{name}/masks"])
def test_a_folder_of_masks_for_each_picture(tmp_path, place):
    for name in "ab":
        write_picture(tmp_path / "images" / f"{name}.png")
        write_objects(tmp_path / "annotations" / place.format(name=name))
    folders = run_labels(source_of(tmp_path), tmp_path / "out", ["cell"], instances=True)
    check_objects(folders, "a")


def test_pictures_and_their_masks_in_one_folder_each(tmp_path):
    for name in "ab":
        write_picture(tmp_path / "stage1" / name / "images" / f"{name}.png")
        write_objects(tmp_path / "stage1" / name / "masks")
    source = {
        "format": "instances",
        "images": f"{tmp_path}/stage1",
        "annotations": f"{tmp_path}/stage1",
        "image_pattern": "{case}/images/{case}.png",
        "annotation_pattern": "{case}/masks/{object}.png",
    }
    folders = run_labels(source, tmp_path / "out", ["cell"], instances=True)
    check_objects(folders, "b")


def test_a_changed_object_changes_its_sample_alone(tmp_path):
    for name in "ab":
        write_picture(tmp_path / "images" / f"{name}.png")
        write_objects(tmp_path / "annotations" / name)
    before, _ = read_index(source_of(tmp_path), tmp_path / "before")
    write_mask(tmp_path / "annotations" / "b" / "2.png", np.eye(20, 30) * 255)
    after, _ = read_index(source_of(tmp_path), tmp_path / "after")
    assert [a["id"] for a, b in zip(after, before, strict=True) if a != b] == ["b"]


def write_stack(path, pages=4, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((pages, 20, 30), value, np.uint8)
    for number in range(pages):
        pixels[number, : number + 1] = 1 + value
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata={"axes": "ZYX"})
    return pixels


def test_slices_of_a_stack_are_samples(tmp_path):
    write_stack(tmp_path / "images" / "v.tif", value=50)
    expected = write_stack(tmp_path / "annotations" / "v.tif")
    folders = run_labels(source_of(tmp_path, "png"), tmp_path / "out", ["cell"])
    rows = read_table(tmp_path / "out" / "manifest.csv")
    assert [(row["id"], row["group"], row["depth"]) for row in rows] == [(f"v/{i:03}", "v", "1") for i in range(4)]
    labels = label_paths(folders)
    assert all((read_label_png(labels[f"v/{i:03}"]) == expected[i]).all() for i in range(4))


def test_slices_of_a_stack_stay_in_one_shard(tmp_path):
    for name in "uvw":
        write_stack(tmp_path / "images" / f"{name}.tif")
        write_stack(tmp_path / "annotations" / f"{name}.tif")
    rows, _ = read_index(source_of(tmp_path, "png"), tmp_path / "out")
    assert len({(row["group"], row["shard"]) for row in rows}) == 3


@pytest.mark.real
def test_label_volume_on_another_grid_is_one_problem(tmp_path, real_data):
    for folder, path in (("images", "public/t1_crop.nii.gz"), ("annotations", "v3/data/labels.nii.gz")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "t1.nii.gz").symlink_to(real_data / "brain_t1" / path)
    rows, problems = read_index(source_of(tmp_path), tmp_path / "out")
    assert (rows, [row["kind"] for row in problems]) == ([], ["affine_mismatch"])


def test_stack_whose_annotation_has_other_slices(tmp_path):
    write_stack(tmp_path / "images" / "v.tif")
    write_stack(tmp_path / "annotations" / "v.tif", pages=3)
    write_stack(tmp_path / "images" / "w.tif")
    write_mask(tmp_path / "annotations" / "w.png", np.ones((20, 30)))
    rows, problems = read_index(source_of(tmp_path, "png"), tmp_path / "out")
    assert rows == []
    assert [(row["id"], row["kind"]) for row in problems] == [("v", "size_mismatch"), ("w", "size_mismatch")]
    assert "has 3 slices, and the picture has 4" in problems[0]["detail"]
    assert "is no stack of slices" in problems[1]["detail"]


def test_stack_as_one_sample(tmp_path):
    write_stack(tmp_path / "images" / "v.tif")
    write_stack(tmp_path / "annotations" / "v.tif")
    rows, _ = read_index(source_of(tmp_path, "png", stacks="volume"), tmp_path / "out")
    assert [(row["id"], row["depth"], row["width"]) for row in rows] == [("v", "4", "30")]


def test_embedded_pictures_are_taken_only_where_pictures_are_looked_for(tmp_path):
    data = base64.b64encode(write_picture(tmp_path / "x.png").read_bytes()).decode()
    write_labelme(tmp_path / "annotations" / "a.json", shape(), imageData=data)
    write_picture(tmp_path / "images" / "b.png")
    write_labelme(tmp_path / "annotations" / "b.json", shape())
    rows, problems = read_index(source_of(tmp_path), tmp_path / "out")
    assert ([row["id"] for row in rows], problems[0]["kind"]) == (["b"], "missing_picture")
    assert "give their folder as dataset.source.images" in problems[0]["remedy"]


def test_an_empty_text_is_no_embedded_picture(tmp_path):
    write_picture(tmp_path / "a.png")
    write_labelme(tmp_path / "labelme" / "a.json", shape(), imageData="")
    source = source_of(tmp_path, images=f"{tmp_path}", annotations=f"{tmp_path}")
    rows, problems = read_index(source, tmp_path / "out")
    assert (rows, [problem["kind"] for problem in problems]) == ([], ["no_pairs"])
    assert problems[0]["remedy"] == f"set dataset.source.annotations to {tmp_path}/labelme"


@pytest.mark.parametrize(("images", "annotations"), [("images", ""), ("", "masks")])
def test_the_folder_that_one_of_the_two_lacks_is_named(tmp_path, images, annotations):
    write_picture(tmp_path / "images" / images / "a.png")
    write_labelme(tmp_path / "annotations" / annotations / "a.json", shape())
    problems = read_index(source_of(tmp_path), tmp_path / "out")[1]
    option, folder = ("images", "images/images") if images else ("annotations", "annotations/masks")
    assert problems[0]["remedy"] == f"set dataset.source.{option} to {tmp_path}/{folder}"


def test_pictures_inside_files_are_offered_where_nothing_pairs(tmp_path):
    data = base64.b64encode(write_picture(tmp_path / "x.png").read_bytes()).decode()
    write_labelme(tmp_path / "annotations" / "a.json", shape(), imageData=data)
    write_picture(tmp_path / "images" / "b.png")
    remedy = read_index(source_of(tmp_path), tmp_path / "out")[1][0]["remedy"]
    assert remedy.endswith("; to use the pictures inside the files, set dataset.source.images to their folder")


@pytest.mark.parametrize("name", ["a.gif", "a.HEIC"])
def test_pictures_that_are_not_read_are_named(pictures, name):
    (pictures / "images" / name).write_bytes(b"no picture")
    coco_file(pictures / "annotations" / "x.json", "site/a.png", "other/a.png", "b.png", name)
    for source in (source_of(pictures), source_of(pictures, "labelme", annotations=f"{pictures}/labelme")):
        for sample in ("a", "site/a", "other/a", "b"):
            write_labelme(pictures / "labelme" / f"{sample}.json", shape())
        problems = read_index(source, pictures / source["format"])[1]
        assert [problem["kind"] for problem in problems] == ["missing_picture"]
        assert f", only {name}, which is not read" in problems[0]["detail"]
        assert problems[0]["remedy"].startswith("convert it to PNG")


def test_masks_below_the_pictures_are_no_pictures(tmp_path):
    write_picture(tmp_path / "site" / "a.png")
    write_mask(tmp_path / "masks" / "site" / "a.png", np.ones((20, 30), np.uint8))
    source = source_of(tmp_path, "png", images=f"{tmp_path}", annotations=f"{tmp_path}/masks")
    rows, problems = read_index(source, tmp_path / "out")
    assert ([row["id"] for row in rows], problems) == (["site/a"], [])


@pytest.mark.parametrize("annotations", ["", "/label"])
def test_what_eiseg_writes_beside_the_pictures_are_no_pictures(tmp_path, annotations):
    write_picture(tmp_path / "data" / "a.jpg")
    for name in ("a.png", "a_pseudo.png"):
        write_mask(tmp_path / "data" / "label" / name, np.ones((20, 30), np.uint8))
    source = source_of(tmp_path, "eiseg", images=f"{tmp_path}/data", annotations=f"{tmp_path}/data{annotations}")
    rows, problems = read_index(source, tmp_path / "out")
    assert ([(row["id"], row["annotation"]) for row in rows], problems) == (
        [("a", f"{tmp_path}/data/label/a.png")],
        [],
    )


@pytest.mark.parametrize(
    ("name", "detail"),
    [("x" * 240, "a name of 240 bytes"), ("水" * 70, "a name of 210 bytes"), ("a\nb", "cannot be printed")],
)
def test_names_that_cannot_be_kept(tmp_path, name, detail):
    write_picture(tmp_path / "images" / f"{name}.png")
    write_labelme(tmp_path / "annotations" / f"{name}.json", shape())
    rows, problems = read_index(source_of(tmp_path, "labelme"), tmp_path / "out")
    assert rows == []
    assert {problem["kind"] for problem in problems} == {"odd_name"}
    assert detail in problems[0]["detail"]


def test_long_names_that_can_be_kept(tmp_path):
    name = "x" * 190
    write_picture(tmp_path / "images" / f"{name}.png")
    write_labelme(tmp_path / "annotations" / f"{name}.json", shape())
    folders = run_labels(source_of(tmp_path, "labelme"), tmp_path / "out", ["building"], instances=True)
    assert name in label_paths(folders)


def test_export_of_colour_and_object_masks_is_read_by_its_class_masks(tmp_path):
    for name in "ab":
        write_picture(tmp_path / "images" / f"{name}.png")
        for folder in ("SegmentationClass", "SegmentationObject"):
            (tmp_path / "voc" / folder).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (30, 20), (128, 0, 0)).save(tmp_path / "voc" / folder / f"{name}.png")
    (tmp_path / "voc" / "labelmap.txt").write_text("roof:128,0,0::\n")
    source = source_of(tmp_path, annotations=f"{tmp_path}/voc")
    rows, problems = read_index(source, tmp_path / "out", classes=["roof"])
    assert ([row["id"] for row in rows], problems) == (["a", "b"], [])
    assert rows[0]["annotation"] == f"{tmp_path}/voc/SegmentationClass/a.png"


def test_files_of_another_format_are_named_where_nothing_pairs(pictures):
    coco_file(pictures / "annotations" / "instances.json", "b.png")
    rows, problems = read_index(source_of(pictures, "labelme"), pictures / "out")
    assert (rows, [row["kind"] for row in problems]) == ([], ["broken_annotation"])
    assert "COCO" in problems[0]["detail"] + problems[0]["remedy"]
    write_labelme(pictures / "labelme" / "b.json", shape())
    source = source_of(pictures, "coco", annotations=f"{pictures}/labelme")
    assert "format to labelme" in read_index(source, pictures / "coco")[1][0]["remedy"]


def test_masks_with_a_label_list_change_with_it(tmp_path):
    for name in "ab":
        write_picture(tmp_path / "images" / f"{name}.png")
        path = tmp_path / "annotations" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (30, 20), (128, 0, 0)).save(path)
    (tmp_path / "annotations" / "labelmap.txt").write_text("roof:128,0,0::\n")
    before, _ = read_index(source_of(tmp_path), tmp_path / "before", classes=["roof"])
    assert {row["format"] for row in before} == {"voc"}
    (tmp_path / "annotations" / "labelmap.txt").write_text("door:128,0,0::\n")
    after, _ = read_index(source_of(tmp_path), tmp_path / "after", classes=["roof"])
    assert all(a["sha256_annotation"] != b["sha256_annotation"] for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("named", ["b.png", "..\\images\\b.png", "C:\\Users\\me\\b.png", "../images/deep/a.png"])
def test_file_that_names_another_picture_of_the_data_set(tmp_path, named):
    """A copy of another picture's file, in which labelme would open that other picture."""
    for name in ("a", "b", "deep/a"):
        write_picture(tmp_path / "images" / f"{name}.png")
    for name in ("a", "deep/a"):
        write_labelme(tmp_path / "annotations" / f"{name}.json", shape(), imagePath=named if name == "a" else "a.png")
    rows, problems = read_index(source_of(tmp_path, "labelme"), tmp_path / "out")
    (problem,) = [problem for problem in problems if problem["kind"] != "missing_annotation"]
    other = "deep/a" if "deep" in named else "b"
    assert (problem["id"], problem["kind"]) == ("a", "other_picture")
    assert problem["file"] == f"{tmp_path}/annotations/a.json"
    assert problem["detail"] == (
        f'names the picture "{named.replace(chr(92), "/")}" of the sample "{other}", '
        f"but has the name of {tmp_path}/images/a.png"
    )
    assert "correct imagePath" in problem["remedy"]
    assert [row["id"] for row in rows] == ["deep/a"]


@pytest.mark.parametrize("named", ["old.png", "D:\\work\\a.jpg", "/home/me/old.png", "", ".", "/", "..", None, 5, "\0"])
def test_names_of_pictures_that_are_not_there_do_no_harm(tmp_path, named):
    """Renamed pictures, paths of other machines and what is no name."""
    for name in ("a", "b"):
        write_picture(tmp_path / "set" / f"{name}.png")
    write_labelme(tmp_path / "set" / "a.json", shape(), imagePath=named)
    write_labelme(tmp_path / "set" / "b.json", shape())
    source = {"format": "labelme", "images": f"{tmp_path}/set", "annotations": f"{tmp_path}/set"}
    rows, problems = read_index(source, tmp_path / "out")
    assert problems == []
    assert [row["id"] for row in rows] == ["a", "b"]


@pytest.mark.real
@pytest.mark.parametrize("folder", ["labelme_devices", "labelme_nuts"])
def test_real_projects_name_no_other_picture(tmp_path, real_data, folder):
    source = {"format": "labelme", "images": str(real_data / folder), "annotations": str(real_data / folder)}
    rows, problems = read_index(source, tmp_path / "out")
    assert len(rows) > 5
    assert "other_picture" not in {problem["kind"] for problem in problems}
