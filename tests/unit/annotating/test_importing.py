"""`maskmill import`: annotations of every format as labelme's files that draw the same label image."""

import argparse
import dataclasses
import json
from xml.etree import ElementTree

import nibabel
import numpy as np
import pytest
import tifffile

from maskmill.annotating.import_command import add_import_command, in_options, parse_classes
from maskmill.annotating.importing import Drawing, import_annotations
from maskmill.annotations import labelme
from maskmill.annotations.formats import LabelOptions, read_annotation
from maskmill.classes import Classes
from maskmill.errors import MaskmillError
from maskmill.imaging.images import image_header, read_image
from maskmill.indexing.pairing import find_pairs
from maskmill.labels.rasterize import rasterize_annotation, rasterize_instances
from tests.unit.annotations.geo_data import SQUARE as MAP_SQUARE
from tests.unit.annotations.geo_data import feature, polygon, write_geojson, write_plain
from tests.unit.label_data import shape, write_labelme, write_mask, write_picture

CLASSES = ["building", "road"]
HEIGHT, WIDTH = 20, 30
BLOB = np.zeros((HEIGHT, WIDTH), np.uint8)
BLOB[2:12, 3:15], BLOB[5:8, 6:9], BLOB[14:18, 20:28], BLOB[16, 22] = 1, 0, 2, 255


def run(*arguments) -> None:
    """The command `maskmill import … --to labelme`."""
    parser = argparse.ArgumentParser()
    add_import_command(parser.add_subparsers())
    parsed = parser.parse_args(["import", *map(str, arguments), "--to", "labelme"])
    assert parsed.run(parsed) == 0


def files_below(folder) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def write_coco(root) -> None:
    write_picture(root / "images/a.png")
    polygons = {"id": 1, "image_id": 7, "category_id": 3, "segmentation": [[2, 2, 9.5, 2, 9, 9]], "iscrowd": 0}
    runs = {"counts": [2, 30, 600 - 32], "size": [HEIGHT, WIDTH]}
    annotations = [polygons, {"id": 2, "image_id": 7, "category_id": 4, "segmentation": runs, "iscrowd": 1}]
    content = {
        "images": [{"id": 7, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}],
        "categories": [{"id": 3, "name": "building"}, {"id": 4, "name": "road"}],
        "annotations": annotations,
    }
    (root / "annotations.json").write_text(json.dumps(content), encoding="utf-8")


def write_cvat(root) -> None:
    write_picture(root / "images/a.png")
    tree = ElementTree.Element("annotations")
    ElementTree.SubElement(tree, "version").text = "1.1"
    image = ElementTree.SubElement(tree, "image", id="0", name="a.png", width=str(WIDTH), height=str(HEIGHT))
    ElementTree.SubElement(image, "ellipse", label="building", cx="9", cy="9", rx="6", ry="4", z_order="0")
    ElementTree.SubElement(image, "box", label="road", xtl="14", ytl="2", xbr="24.5", ybr="9", z_order="1")
    runs = {"rle": "0, 1, 1, 2, 1, 1", "left": "4", "top": "15", "width": "3", "height": "2"}
    ElementTree.SubElement(image, "mask", label="road", z_order="2", **runs)
    ElementTree.ElementTree(tree).write(root / "annotations.xml")


def write_masks(root) -> None:
    write_picture(root / "images/a.png")
    write_mask(root / "annotations/a.png", BLOB)


def write_colours(root) -> None:
    write_picture(root / "images/a.png")
    colours = np.zeros((256, 3), np.uint8)
    colours[1], colours[2] = (255, 0, 0), (0, 255, 0)
    write_mask(root / "annotations/a.png", colours[np.where(BLOB == 255, 0, BLOB)])


def write_objects(root) -> None:
    write_picture(root / "images/a.png")
    numbers = np.where(BLOB == 255, 0, BLOB)
    numbers[14:18, 24:28] = 3
    write_mask(root / "annotations/a.png", numbers)


def write_map(root) -> None:
    (root / "images").mkdir(parents=True)
    write_plain(root / "images/a.png")
    hole = [[x / 2 + 12, y / 2 + 12] for x, y in MAP_SQUARE]
    write_geojson(root / "annotations.geojson", feature(polygon(MAP_SQUARE, hole), label="building"))


def write_shapes(root) -> None:
    write_picture(root / "images/site/a.png")
    write_labelme(
        root / "annotations/site/a.json", shape(), shape("road", [[3, 3], [12.5, 8]], "rectangle", group_id=2)
    )


SOURCES = {
    "coco": (write_coco, "annotations.json", CLASSES),
    "cvat": (write_cvat, "annotations.xml", CLASSES),
    "png": (write_masks, "annotations", CLASSES),
    "colours": (write_colours, "annotations", {"building": "#ff0000", "road": "#00ff00"}),
    "instances": (write_objects, "annotations", ["building"]),
    "geojson": (write_map, "annotations.geojson", CLASSES),
    "labelme": (write_shapes, "annotations", CLASSES),
}


@pytest.fixture(params=sorted(SOURCES))
def source(request, tmp_path):
    """A source of each format in tmp_path, as the option `dataset.source`, and its classes."""
    write, annotations, classes = SOURCES[request.param]
    tmp_path.mkdir(exist_ok=True)
    write(tmp_path)
    name = "png" if request.param == "colours" else request.param
    places = {"images": f"{tmp_path}/images", "annotations": f"{tmp_path}/{annotations}"}
    return {"format": name, "image_pattern": None, "annotation_pattern": None} | places, classes


@pytest.mark.parametrize("drawing", [Drawing(), Drawing(masks=True)], ids=["polygons", "masks"])
def test_labels_and_objects_are_those_of_the_source(source, drawing, tmp_path):
    source, classes = source
    options = LabelOptions(classes, instances=True)

    assert import_annotations(source, options, tmp_path / "out", drawing) == 1

    known = Classes.from_config(classes)
    for sample, pair in find_pairs(source)[0].items():
        width, height, *_ = image_header(pair.image)
        row = {"annotation": pair.annotation, "entry": pair.entry, "image": pair.image, "format": source["format"]}
        row |= {"width": str(width), "height": str(height)}
        before = dataclasses.replace(read_annotation(row, options), height=height, width=width)
        after = labelme.read(tmp_path / f"out/{sample}.json")
        assert (after.height, after.width) == (height, width)
        labels = rasterize_annotation(before, known)
        assert labels.any()
        assert np.array_equal(rasterize_annotation(after, known), labels)
        numbers = np.stack([rasterize_instances(one, known).ravel() for one in (before, after)])
        assert np.unique(numbers, axis=1).shape[1] == len(np.unique(numbers[0])) == len(np.unique(numbers[1]))
        assert (tmp_path / f"out/{sample}.json").parent.joinpath(after.picture).samefile(pair.image)


def test_shapes_stay_shapes_and_masks_become_polygons(tmp_path):
    write_cvat(tmp_path)
    run(tmp_path / "annotations.xml", "--images", tmp_path / "images", "-o", tmp_path / "out")
    run(tmp_path / "annotations.xml", "--images", tmp_path / "images", "-o", tmp_path / "masks", "--masks")

    kinds = [found.kind for found in labelme.read(tmp_path / "out/a.json").shapes]
    assert kinds[:2] == ["polygon", "rectangle"]  # the ellipse comes first
    assert set(kinds[2:]) == {"polygon"}
    assert [found.kind for found in labelme.read(tmp_path / "masks/a.json").shapes] == ["mask", "rectangle", "mask"]
    assert labelme.read(tmp_path / "out/a.json").shapes[1].points.tolist() == [[14, 2], [24.5, 9]]


def test_masks_need_names_for_their_values(tmp_path):
    write_masks(tmp_path)

    with pytest.raises(MaskmillError, match=r"--classes building,road"):
        run(tmp_path / "annotations", "--images", tmp_path / "images", "-o", tmp_path / "out")
    run(tmp_path / "annotations", "--images", tmp_path / "images", "-o", tmp_path / "out", "--classes", "wall,path")

    assert {found.label for found in labelme.read(tmp_path / "out/a.json").shapes} == {"wall", "path", "__ignore__"}


def test_outlines_are_simplified_on_demand(tmp_path):
    write_picture(tmp_path / "images/a.png", height=100, width=100)
    rows, columns = np.mgrid[:100, :100]
    write_mask(tmp_path / "annotations/a.png", (rows - 50) ** 2 + (columns - 50) ** 2 < 1500)
    places = (tmp_path / "annotations", "--images", tmp_path / "images", "--classes", "building")
    run(*places, "-o", tmp_path / "exact")
    run(*places, "-o", tmp_path / "simple", "--spacing", 5)

    exact, simple = (labelme.read(tmp_path / f"{name}/a.json").shapes[0].points for name in ("exact", "simple"))
    assert len(simple) < 0.6 * len(exact)


def test_everything_wrong_is_listed_and_nothing_written(tmp_path):
    for name in ("a", "b", "c", "d"):
        write_picture(tmp_path / f"images/{name}.png")
    write_labelme(tmp_path / "annotations/a.json", shape())
    write_labelme(tmp_path / "annotations/b.json", shape(points=[[1, 1]]))
    (tmp_path / "annotations/c.json").write_text("{", encoding="utf-8")
    write_labelme(tmp_path / "annotations/e.json", shape())

    with pytest.raises(MaskmillError) as error:
        run(tmp_path / "annotations", "--images", tmp_path / "images", "-o", tmp_path / "out", "--format", "labelme")

    for part in ("b.json", "c.json", "e.json", "has 1 point", "Nothing was written"):
        assert part in str(error.value)
    assert "d.png" not in str(error.value)  # a picture without annotation is no fault
    assert not (tmp_path / "out").exists()


def test_a_folder_with_files_is_left_alone(tmp_path):
    write_shapes(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.json").write_text("{}", encoding="utf-8")

    with pytest.raises(MaskmillError, match="not empty"):
        run(tmp_path / "annotations", "--images", tmp_path / "images", "-o", tmp_path / "out")

    assert files_below(tmp_path / "out") == ["mine.json"]


def test_embedded_pictures_become_files(tmp_path):
    import base64

    data = write_picture(tmp_path / "x.png").read_bytes()
    write_labelme(tmp_path / "annotations/a.json", shape(), imageData=base64.b64encode(data).decode())

    run(tmp_path / "annotations", "-o", tmp_path / "out")

    assert files_below(tmp_path / "out") == ["a.json", "a.png"]
    assert (tmp_path / "out/a.png").read_bytes() == data
    assert labelme.read(tmp_path / "out/a.json").picture == "a.png"


def test_slices_of_stacks_become_files(tmp_path):
    volume = np.random.default_rng(0).integers(0, 256, (3, HEIGHT, WIDTH)).astype(np.uint8)
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations").mkdir()
    tifffile.imwrite(tmp_path / "images/v.tif", volume, metadata={"axes": "ZYX"}, photometric="minisblack")
    tifffile.imwrite(
        tmp_path / "annotations/v.tif",
        np.stack([BLOB, BLOB * 0, BLOB[::-1]]),
        metadata={"axes": "ZYX"},
        photometric="minisblack",
    )

    run(tmp_path / "annotations", "--images", tmp_path / "images", "-o", tmp_path / "out", "--classes", "building,road",
        "--format", "png")  # fmt: skip

    assert files_below(tmp_path / "out") == [f"v/00{page}.{suffix}" for page in range(3) for suffix in ("json", "png")]
    assert np.array_equal(read_image(tmp_path / "out/v/001.png")[..., 0], volume[1])
    known = Classes.from_config(CLASSES)
    assert np.array_equal(rasterize_annotation(labelme.read(tmp_path / "out/v/002.json"), known), BLOB[::-1])
    assert labelme.read(tmp_path / "out/v/001.json").shapes == ()


def test_slices_of_volumes_are_stretched_for_the_eye(tmp_path):
    for folder, values in (("images", np.linspace(-1000, 2000, 4 * 5 * 6)), ("annotations", np.ones(120))):
        (tmp_path / folder).mkdir()
        volume = nibabel.Nifti1Image(values.reshape(4, 5, 6).astype(np.int16), np.eye(4))
        nibabel.save(volume, tmp_path / folder / "v.nii.gz")

    run(tmp_path / "annotations", "--images", tmp_path / "images", "-o", tmp_path / "out", "--classes", "building")

    assert len(files_below(tmp_path / "out")) == 12
    assert read_image(tmp_path / "out/v/000.png").shape == (5, 4, 3)


def test_a_stack_of_another_depth_is_a_problem(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations").mkdir()
    tifffile.imwrite(
        tmp_path / "images/v.tif",
        np.zeros((3, HEIGHT, WIDTH), np.uint8),
        metadata={"axes": "ZYX"},
        photometric="minisblack",
    )
    tifffile.imwrite(
        tmp_path / "annotations/v.tif",
        np.zeros((2, HEIGHT, WIDTH), np.uint8),
        metadata={"axes": "ZYX"},
        photometric="minisblack",
    )

    with pytest.raises(MaskmillError, match=r"has 2 slices, and the picture has 3"):
        run(tmp_path / "annotations", "--images", tmp_path / "images", "-o", tmp_path / "out", "--classes", "building",
            "--format", "png")  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "no such file or folder"),
        (["annotations", "--format", "labelmee"], "is unknown"),
        (["annotations", "--images", "nowhere", "--format", "labelme"], "missing_folder"),
    ],
)
def test_mistakes_are_named(arguments, message, tmp_path, monkeypatch):
    write_shapes(tmp_path)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(MaskmillError, match=message):
        run(*arguments, "-o", "out")


def test_mistakes_are_named_with_the_options_of_the_command(tmp_path):
    for name in "abc":
        write_picture(tmp_path / f"images/{name}.jpg")
        write_mask(tmp_path / f"masks/{name}.png", np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 5)
    arguments = [tmp_path / "masks", "--images", tmp_path / "images", "-o", tmp_path / "out", "--classes", "building"]

    with pytest.raises(MaskmillError, match=r"but --classes has one class; list .*, or set --format to instances if"):
        run(*arguments)
    with pytest.raises(MaskmillError, match=r"--image-pattern and --annotation-pattern go together; give both or none"):
        run(*arguments, "--format", "png", "--image-pattern", "{stem}.jpg")
    with pytest.raises(MaskmillError, match=r"empty_folder.*: correct SOURCE or --images, or put"):
        run(*arguments, "--format", "coco")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('if they are object numbers, take "format: instances"', "if they are object numbers, take --format instances"),
        ("set dataset.source.format: coco, or move", "set --format coco, or move"),
        ("set dataset.source.annotations to a/masks", "set SOURCE to a/masks"),
        (
            'write dataset.classes as a mapping of the name to its colour, such as {roof: "#ffffff"}, or "#000000" if',
            'write --classes as NAME=COLOUR, such as roof=#ffffff, or "#000000" if',
        ),
        ("write dataset.classes as a list of names: [roof, road]", "write --classes as roof,road"),
        (
            "add the label to dataset.classes, or to a list in dataset.background, or rename it",
            "add the label to --classes, or rename it",
        ),
        ("the labels in dataset.source.label_field", "the labels in --label-field"),
        ("say with image_pattern and annotation_pattern how", "say with --image-pattern and --annotation-pattern how"),
    ],
)
def test_options_of_a_config_in_messages(message, expected):
    assert in_options(message) == expected


def test_classes_on_the_command_line():
    assert parse_classes("building, road") == ["building", "road"]
    assert parse_classes("a=b=#ff0000,c=#00ff00") == {"a=b": "#ff0000", "c": "#00ff00"}
    for wrong in ("a,,b", "a=#ff0000,b"):
        with pytest.raises(argparse.ArgumentTypeError, match="neither"):
            parse_classes(wrong)


def test_voc_masks_take_their_names_from_their_list(tmp_path):
    write_picture(tmp_path / "images/a.png")
    colours = np.array([[0, 0, 0], [200, 0, 0], [0, 200, 0]], np.uint8)
    write_mask(tmp_path / "voc/SegmentationClass/a.png", colours[np.where(BLOB == 255, 0, BLOB)])
    lines = ["background:0,0,0::", "roof:200,0,0::", "door:0,200,0::"]
    (tmp_path / "voc/labelmap.txt").write_text("\n".join(lines), encoding="utf-8")
    run(tmp_path / "voc", "--images", tmp_path / "images", "-o", tmp_path / "out")
    assert {shape.label for shape in labelme.read(tmp_path / "out/a.json").shapes} == {"roof", "door"}
