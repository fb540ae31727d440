"""The annotation formats that are read: how the files of each are laid out, and which reader reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maskmill.annotations.shapes import Annotation
from maskmill.errors import MaskmillError


@dataclass(frozen=True)
class LabelOptions:
    """What turns annotations into labels, of the options of a data set.

    classes and background: see `dataset.classes` and `dataset.background`. label_field: the property of vector features
    that holds their label. instances: whether label images of the single objects are wanted too.
    """

    classes: Sequence[str] | Mapping[str, str]
    background: str | Sequence[str] = "rest"
    label_field: str = "label"
    instances: bool = False


@dataclass(frozen=True)
class Format:
    """One annotation format.

    layout: "file" (a file a sample, of the sample's id), "collection" (a file lists many pictures by name), "layer"
    (vector files over all georeferenced pictures) or "objects" (a mask file an object, or a file of object numbers).
    suffixes: of the annotation files, in lower case.
    """

    title: str
    layout: str
    suffixes: tuple[str, ...]


MASK_SUFFIXES = (".bmp", ".png", ".tif", ".tiff")

FORMATS = {
    "labelme": Format("labelme JSON", "file", (".json",)),
    "coco": Format("COCO JSON", "collection", (".json",)),
    "cvat": Format("CVAT for images XML 1.1", "collection", (".xml",)),
    "eiseg": Format("EISeg", "file", (".json", ".png", ".tif", ".tiff")),
    "ritm": Format("RITM click masks", "file", (".bmp", ".png")),
    "voc": Format("Pascal VOC colour masks", "file", (".png",)),
    "png": Format("mask pictures", "file", MASK_SUFFIXES),
    "instances": Format("object masks", "objects", MASK_SUFFIXES),
    "geojson": Format("GeoJSON or GeoPackage over georeferenced pictures", "layer", (".geojson", ".json", ".gpkg")),
    "nifti": Format("NIfTI label maps", "file", (".nii", ".nii.gz")),
}


@dataclass(frozen=True)
class Entry:
    """What a collection holds on one picture.

    key: names the entry in its file. picture: path of the picture as the file states it, with "/" as separator.
    digest: hexadecimal SHA-256 that changes whenever anything changes that is drawn on this picture.
    """

    key: str
    picture: str
    digest: str


def list_entries(format_name: str, path: str) -> list[Entry]:
    """The pictures that a collection (COCO or CVAT file) has annotations for, in its order.

    Raises AnnotationError where the file is damaged.
    """
    if format_name == "coco":
        from maskmill.annotations import coco

        return coco.list_entries(path)
    if format_name == "cvat":
        from maskmill.annotations import cvat

        return cvat.list_entries(path)
    raise MaskmillError(f"{format_name} files hold the annotations of one picture each")


def read_annotation(sample: Mapping[str, str], options: LabelOptions) -> Annotation:
    """Read what was annotated on a picture, a row of the manifest (format, annotation, entry, image, width, height).

    Raises AnnotationError with everything that is wrong with the file.
    """
    from maskmill.annotations import coco, cvat, eiseg, geojson, instances, labelme, masks, nifti, ritm, voc

    path, entry = sample["annotation"], sample["entry"]
    match sample["format"]:
        case "labelme":
            return labelme.read(path)
        case "coco":
            return coco.read(path, entry)
        case "cvat":
            return cvat.read(path, entry)
        case "eiseg":
            return eiseg.read(path, options)
        case "ritm":
            return ritm.read(path, options)
        case "voc":
            return voc.read(path, options)
        case "png":
            return masks.read(path, options.classes, options.background)
        case "instances":
            return instances.read(path, options)
        case "geojson":
            return geojson.read(path, sample["image"], options)
        case "nifti":
            return nifti.read(path, sample["image"], options)
    raise MaskmillError(f'dataset.source.format "{sample["format"]}" is unknown; use {", ".join(FORMATS)} or auto')
