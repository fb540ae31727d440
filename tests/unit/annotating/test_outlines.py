"""Label images become polygons that draw them again: exactly, or as near as the advised vertex spacing says."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage
from skimage.draw import disk
from skimage.measure import label as label_regions

from maskmill.annotating.outlines import TOLERANCE_SHARE, mask_shapes, trace_labels, trace_mask, trace_region
from maskmill.annotations.shapes import Annotation, Shape
from maskmill.audit.objects import AuditOptions, audit_objects
from maskmill.classes import IGNORE, Classes
from maskmill.labels.rasterize import rasterize_annotation, rasterize_instances

CLASSES = Classes.from_config(["building", "road", "water"])

SIDES = st.tuples(st.integers(1, 16), st.integers(1, 16))
LABELS = arrays.arrays(np.uint8, SIDES, elements=st.sampled_from([0, 0, 1, 1, 2, 3, IGNORE]))
REGIONS = arrays.arrays(np.bool_, SIDES)


def pixels(*rows: str) -> np.ndarray:
    """A region from text: # belongs to it."""
    return np.array([[cell == "#" for cell in row] for row in rows])


def drawn(shapes, size) -> np.ndarray:
    """Label image of the shapes, all of which can be drawn."""
    assert all(shape.defect() is None for shape in shapes)
    return rasterize_annotation(Annotation(*size, tuple(shapes)), CLASSES)


def drawn_region(polygons, size) -> np.ndarray:
    """Pixels of the polygons that `trace_region` gives."""
    return drawn([Shape("building", "polygon", ring, holes=tuple(holes)) for ring, holes in polygons], size) == 1


def partition(numbers: np.ndarray) -> set[frozenset[int]]:
    """The sets of pixels that have one number, whatever it is; 0 is none."""
    return {frozenset(np.flatnonzero(numbers.ravel() == number).tolist()) for number in np.unique(numbers[numbers > 0])}


def disc(radius: int) -> np.ndarray:
    region = np.zeros((2 * radius + 9, 2 * radius + 9), bool)
    region[disk((radius + 4, radius + 4), radius)] = True
    return region


@given(LABELS)
def test_outlines_give_the_label_image_again(labels):
    assert np.array_equal(drawn(trace_labels(labels, CLASSES), labels.shape), labels)


@given(LABELS, st.integers(1, 4), st.integers(1, 4))
def test_so_do_those_of_larger_areas(labels, rows, columns):
    labels = np.kron(labels, np.ones((rows, columns), np.uint8))

    assert np.array_equal(drawn(trace_labels(labels, CLASSES), labels.shape), labels)


@given(LABELS)
def test_mask_shapes_give_the_label_image_again(labels):
    shapes = mask_shapes(labels, CLASSES)

    assert all(shape.kind == "mask" for shape in shapes)
    assert np.array_equal(drawn(shapes, labels.shape), labels)


@given(LABELS)
def test_without_object_numbers_the_connected_regions_of_a_class_are_the_objects(labels):
    expected = label_regions(np.where(labels == IGNORE, 0, labels), background=0, connectivity=2)
    annotation = Annotation(*labels.shape, tuple(trace_labels(labels, CLASSES)))

    assert partition(rasterize_instances(annotation, CLASSES)) == partition(expected)


@given(arrays.arrays(np.int32, SIDES, elements=st.integers(0, 4)))
def test_object_numbers_tell_touching_and_scattered_objects_apart(objects):
    labels = (objects > 0).astype(np.uint8)
    for shapes in (trace_labels(labels, CLASSES, objects), mask_shapes(labels, CLASSES, objects)):
        annotation = Annotation(*labels.shape, tuple(shapes))

        assert partition(rasterize_instances(annotation, CLASSES)) == partition(objects)


def test_ignored_pixels_are_kept_beside_numbered_objects():
    labels = np.array([[1, 1, IGNORE, 0, IGNORE]], np.uint8)

    shapes = trace_labels(labels, CLASSES, objects=(labels == 1).astype(np.int32))

    assert np.array_equal(drawn(shapes, labels.shape), labels)


@pytest.mark.parametrize(
    ("region", "polygons", "holes"),
    [
        pytest.param(pixels("#"), 1, 0, id="one pixel"),
        pytest.param(pixels("##"), 1, 0, id="two pixels"),
        pytest.param(pixels("#..", ".#.", "..#"), 1, 0, id="diagonal line"),
        pytest.param(pixels("#.#"), 2, 0, id="two parts"),
        pytest.param(pixels("###", "#.#", "###"), 1, 1, id="hole"),
        pytest.param(pixels("####", "#.##", "##.#", "####"), 1, 2, id="holes that touch at a corner"),
        pytest.param(pixels("#####", "#...#", "#.#.#", "#...#", "#####"), 2, 1, id="island in a hole"),
        pytest.param(pixels("####", "#..#", "#.#.", "####"), 1, 1, id="hole that opens at a corner"),
        pytest.param(pixels("######", "#.####", "#..#.#", "#.#..#", "######"), 1, 2, id="holes around a corner"),
        pytest.param(pixels("#####", "#...#", "#.#.#", "##..#", "#####"), 2, 1, id="part that a corner connects"),
    ],
)
def test_polygons_and_holes_of(region, polygons, holes):
    found = trace_region(region)

    assert np.array_equal(drawn_region(found, region.shape), region)
    assert len(found) == polygons
    assert sum(len(rings) for _, rings in found) == holes


def test_vertices_are_centres_of_the_outermost_pixels():
    ((ring, holes),) = trace_region(pixels("....", ".##.", ".##.", ".##."))

    assert {tuple(vertex) for vertex in ring.tolist()} == {(1.5, 1.5), (2.5, 1.5), (2.5, 3.5), (1.5, 3.5)}
    assert not holes


def test_parts_of_an_object_share_a_group_and_single_polygons_have_none():
    labels = pixels("##.#.#", "##.#.#").astype(np.uint8)
    objects = np.array([[1, 1, 0, 2, 0, 2]] * 2)

    groups = [shape.group_id for shape in trace_labels(labels, CLASSES, objects)]

    assert groups == [None, 1, 1]


def test_a_mask_shape_becomes_polygons_in_its_place():
    mask = pixels("###", "#.#", "###")
    shape = Shape("road", "mask", np.array([[4.0, 2.0], [6.0, 4.0]]), 7, mask)

    polygons = trace_mask(shape)

    assert [polygon.group_id for polygon in polygons] == [7]
    assert np.array_equal(drawn(polygons, (9, 9)), drawn([shape], (9, 9)))


@given(REGIONS, st.integers(2, 5), st.sampled_from([2.0, 3.0, 5.0, 8.0]))
def test_simplified_outlines_stay_within_the_tolerance(region, scale, spacing):
    region = np.kron(region, np.ones((scale, scale), bool))
    tolerance = spacing * TOLERANCE_SHARE
    for (exact, exact_holes), (ring, holes) in zip(trace_region(region), trace_region(region, tolerance), strict=True):
        for before, after in zip((exact, *exact_holes), (ring, *holes), strict=True):
            distances = shapely.distance(shapely.points(before), shapely.LinearRing(after))
            assert distances.max() <= tolerance + 1e-6


@given(REGIONS, st.integers(2, 5))
def test_at_the_spacing_for_satellite_pictures_only_pixels_at_the_boundary_change(region, scale):
    region = np.kron(region, np.ones((scale, scale), bool))
    simplified = drawn_region(trace_region(region, 5 * TOLERANCE_SHARE), region.shape)

    around = ndimage.binary_dilation(region, np.ones((3, 3))) & ~ndimage.binary_erosion(region, np.ones((3, 3)))
    assert not ((simplified != region) & ~around).any()


@pytest.mark.parametrize("spacing", [2, 3, 5])
def test_vertices_of_curves_are_about_as_far_apart_as_advised(spacing):
    means = []
    for radius in (10, 15, 20, 25, 30, 40, 60):
        ((ring, _),) = trace_region(disc(radius), spacing * TOLERANCE_SHARE)
        means.append(np.hypot(*(ring - np.roll(ring, 1, axis=0)).T).mean())

    assert np.mean(means) == pytest.approx(spacing, rel=0.3)


@pytest.mark.parametrize("spacing", [2, 3, 5])
def test_the_audit_finds_no_coarse_outline(spacing):
    for radius in (5, 10, 20, 40, 80):
        labels = disc(radius).astype(np.uint8)
        annotation = Annotation(*labels.shape, tuple(trace_labels(labels, CLASSES, spacing=spacing)))
        options = AuditOptions(scale=1, patch=256, minimum_areas=[0], vertex_spacing=spacing)

        (row,) = audit_objects("disc", annotation, labels, CLASSES, "rest", options)
        assert row["remarks"] == ""


@pytest.mark.parametrize("side", [1, 2, 3])
def test_objects_smaller_than_the_tolerance_are_kept_as_they_are(side):
    region = np.pad(np.ones((side, side), bool), 2)

    assert np.array_equal(drawn_region(trace_region(region, tolerance=3), region.shape), region)


def test_a_picture_without_objects_has_no_shapes():
    assert trace_labels(np.zeros((5, 5), np.uint8), CLASSES) == []
    assert mask_shapes(np.zeros((5, 5), np.uint8), CLASSES) == []
