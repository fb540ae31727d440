"""Shapes are drawn as labelme draws them, into label images and object images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskmill.annotations.shapes import Annotation, Shape
from maskmill.classes import Classes
from maskmill.errors import MaskmillError
from maskmill.imaging.images import ImageError, read_instance_png, read_values, write_instance_png
from maskmill.labels.rasterize import draw_shape, label_value, object_numbers, rasterize_annotation, rasterize_instances

CLASSES = Classes.from_config(["building", "road"])
SQUARE = [[2, 2], [9, 2], [9, 9], [2, 9]]


def make(kind, points, label="building", mask=None, group=None, holes=()):
    rings = tuple(np.asarray(ring, dtype=np.float64) for ring in holes)
    return Shape(label, kind, np.asarray(points, dtype=np.float64), group, mask, rings)


def draw(*shapes, height=50, width=60, background="rest"):
    return rasterize_annotation(Annotation(height, width, shapes), CLASSES, background)


def number(*shapes, height=50, width=60, background="rest"):
    return rasterize_instances(Annotation(height, width, shapes), CLASSES, background)


EVERY_KIND = pytest.mark.parametrize(
    ("kind", "points", "pixels"),
    [
        ("polygon", [[10, 10], [20, 10], [20, 20], [10, 20]], 121),
        ("oriented_rectangle", [[10, 10], [20, 10], [20, 20], [10, 20]], 121),
        ("rectangle", [[10, 10], [20, 20]], 121),
        ("rectangle", [[20, 10], [10, 20]], 121),
        ("circle", [[25, 25], [30, 25]], 97),
        ("ellipse", [[25, 25], [30, 25], [25, 30]], 97),
        ("ellipse", [[25, 25], [25, 30], [15, 25]], 183),
        ("point", [[25, 25]], 97),
        ("points", [[10, 10], [40, 40]], 2 * 97),
        ("line", [[10, 10], [40, 40]], 458),
        ("linestrip", [[10, 10], [40, 10], [40, 40]], 590),
        ("mask", [[10.9, 5.2], [12.9, 6.2]], 4),
    ],
)


@EVERY_KIND
def test_pixels_of_every_kind_of_shape(kind, points, pixels):
    mask = np.array([[0, 1, 1], [1, 0, 1]], dtype=bool) if kind == "mask" else None
    labels, objects = draw(make(kind, points, "road", mask)), number(make(kind, points, "road", mask))
    assert (labels.dtype, objects.dtype) == (np.uint8, np.int32)
    assert (labels == 2).sum() == pixels
    assert set(np.unique(labels)) == {0, 2}
    np.testing.assert_array_equal(objects, labels == 2)


@EVERY_KIND
@pytest.mark.parametrize(("mode", "under", "value"), [("L", 255, 7), ("I;16", 60_000, 50_000), ("I", 70_000, 80_000)])
def test_every_kind_of_shape_on_a_canvas_of_every_depth(kind, points, pixels, mode, under, value):
    mask = np.array([[0, 1, 1], [1, 0, 1]], dtype=bool) if kind == "mask" else None
    canvas = Image.new(mode, (60, 50), under)
    draw_shape(canvas, make(kind, points, mask=mask), value)
    np.testing.assert_array_equal(canvas, np.where(draw(make(kind, points, mask=mask)), value, under))


def test_mask_shape_lies_at_its_corner():
    labels = draw(make("mask", [[10.9, 5.2], [12.9, 6.2]], mask=np.array([[0, 1, 1], [1, 0, 1]], dtype=bool)))
    np.testing.assert_array_equal(labels[5:7, 10:13], [[0, 1, 1], [1, 0, 1]])


@pytest.mark.parametrize("corner", [(-2, -1), (58, 49), (-2, 49)])
def test_mask_shape_that_sticks_out_is_clipped(corner):
    mask = np.arange(12).reshape(3, 4) % 5 > 0
    labels = draw(make("mask", [corner, (corner[0] + 3, corner[1] + 2)], mask=mask))
    expected = np.zeros((70, 80))
    expected[10 + corner[1] : 13 + corner[1], 10 + corner[0] : 14 + corner[0]] = mask
    np.testing.assert_array_equal(labels, expected[10:60, 10:70])


def test_coordinates_are_cut_and_the_outline_belongs_to_the_shape():
    labels = draw(make("polygon", [[1.9, 1.9], [3.9, 1.9], [3.9, 3.9], [1.9, 3.9]]), height=6, width=6)
    expected = np.zeros((6, 6))
    expected[1:4, 1:4] = 1
    np.testing.assert_array_equal(labels, expected)


def test_later_shapes_cover_earlier_ones():
    under, over = make("rectangle", [[0, 0], [9, 9]]), make("rectangle", [[5, 5], [9, 9]], "road")
    assert draw(under, over)[7, 7] == 2
    assert draw(over, under)[7, 7] == 1
    assert number(under, over)[7, 7] == number(over, under)[3, 3] == 2


@pytest.mark.parametrize(
    ("label", "background", "value"),
    [("__ignore__", "rest", 255), ("_background_", "rest", 0), ("grass", ["grass"], 0)],
)
def test_ignored_and_background_shapes_cover_labels_and_objects(label, background, value):
    shapes = make("rectangle", [[0, 0], [9, 9]]), make("rectangle", [[5, 5], [9, 9]], label)
    assert draw(*shapes, background=background)[7, 7] == value
    assert number(*shapes, background=background)[7, 7] == 0
    assert (number(*shapes, background=background) == 1).sum() == 75


def test_labels_can_be_written_to():
    draw(make("polygon", SQUARE))[0, 0] = 1
    number(make("polygon", SQUARE))[0, 0] = 1


class TestHoles:
    RING = ([4, 4], [7, 4], [7, 7], [4, 7])

    def test_what_was_drawn_before_shows_through(self):
        road = make("rectangle", [[0, 5], [40, 6]], "road")
        house = make("polygon", [[2, 2], [9, 2], [9, 9], [2, 9]], holes=[self.RING])
        labels, objects = draw(road, house), number(road, house)
        assert (labels == 1).sum() == (objects == 2).sum() == 64 - 16
        np.testing.assert_array_equal(
            labels[3:9, 3:9], [[1] * 6] + [[1, v, v, v, v, 1] for v in (0, 2, 2, 0)] + [[1] * 6]
        )

    def test_later_shapes_fill_it(self):
        house, tree = make("polygon", SQUARE, holes=[self.RING]), make("rectangle", [[5, 5], [6, 6]], "road")
        assert draw(house, tree)[5, 5] == 2
        assert draw(tree, house)[5, 5] == 2

    def test_a_hole_that_sticks_out_takes_nothing_else_away(self):
        road = make("rectangle", [[0, 0], [59, 49]], "road")
        ring = [[5, 5], [20, 5], [20, 20], [5, 20]]
        labels = draw(road, make("polygon", SQUARE, holes=[ring]))
        assert (labels == 1).sum() == 64 - 25
        assert (labels == 2).sum() == labels.size - 39

    def test_outside_of_the_picture(self):
        moved = [[x - 100, y - 100] for x, y in SQUARE]
        assert not draw(make("polygon", moved, holes=[moved])).any()

    @pytest.mark.parametrize(
        ("mode", "under", "value"), [("L", 255, 7), ("I;16", 60_000, 50_000), ("I", 70_000, 80_000)]
    )
    def test_on_a_canvas_of_every_depth(self, mode, under, value):
        canvas = Image.new(mode, (60, 50), under)
        draw_shape(canvas, make("polygon", SQUARE, holes=[self.RING]), value)
        values, counts = np.unique(np.asarray(canvas), return_counts=True)
        assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == {under: 3000 - 48, value: 48}


def ellipse(centre, long, short, degrees):
    turn = np.radians(degrees)
    along, across = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    return make("ellipse", [centre, centre + long * along, centre + short * across])


class TestEllipses:
    def test_like_a_circle_where_the_half_axes_are_upright(self):
        circle = draw(make("circle", [[25.7, 20.2], [37.1, 20.2]]))
        np.testing.assert_array_equal(draw(ellipse(np.array([25.7, 20.2]), 11.4, 11.4, 0)), circle)
        np.testing.assert_array_equal(draw(ellipse(np.array([25.7, 20.2]), 11.4, 11.4, 90)), circle)

    def test_order_of_the_half_axes_does_not_matter(self):
        shape = ellipse(np.array([30.0, 25.0]), 20, 7, 33)
        swapped = make("ellipse", shape.points[[0, 2, 1]])
        np.testing.assert_array_equal(draw(shape), draw(swapped))

    @given(
        st.tuples(st.floats(20, 40), st.floats(20, 30)),
        st.floats(0.5, 20),
        st.floats(0.5, 20),
        st.sampled_from([0, 90, 180, 270]) | st.integers(0, 3600).map(lambda tenth: tenth / 10),
    )
    def test_upright_ones_differ_from_the_true_one_by_little_and_others_not_at_all(self, centre, long, short, degrees):
        """The true one: pixels whose centres lie in it, half a pixel larger since the outline belongs to it."""
        turn = np.radians(degrees)
        turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        pixels = np.stack(np.meshgrid(np.arange(60), np.arange(50)), axis=2) + 0.5 - centre
        half_axes = np.array([long, short]) + 0.5
        within = (((pixels @ turned.T) / half_axes) ** 2).sum(axis=2) <= 1
        different = pixels[within != (draw(ellipse(np.array(centre), long, short, degrees)) == 1)]
        around = np.linspace(0, 2 * np.pi, 2000)
        edge = (np.stack([np.cos(around), np.sin(around)], axis=1) * half_axes) @ turned
        distances = np.linalg.norm(different[:, None] - edge, axis=2).min(axis=1)
        assert distances.max(initial=0) < 1.2
        assert not distances.size or degrees % 90 == 0

    def test_area_is_not_biased_by_the_angle(self):
        rng, areas = np.random.default_rng(0), []
        for degrees in range(0, 180, 5):
            shapes = [ellipse(rng.uniform(28, 30, 2), 20, 12, degrees) for _ in range(4)]
            areas.append(np.mean([draw(shape, height=60).sum() for shape in shapes]))
        np.testing.assert_allclose(areas, np.pi * 20.5 * 12.5, rtol=0.03)

    def test_outside_of_the_picture_and_without_extent(self):
        assert not draw(ellipse(np.array([200.0, 200.0]), 20, 7, 33)).any()
        assert not draw(make("ellipse", [[5, 5], [5, 5], [5, 5]])).any()
        assert 20 <= draw(ellipse(np.array([30.0, 25.0]), 20, 0, 45)).sum() <= 60


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("building", 1),
        ("road", 2),
        ("building-1", 1),
        ("road_12", 2),
        ("Building", None),
        ("road 1", None),
        ("road-a", None),
    ],
)
def test_label_is_exact_but_for_an_instance_number(label, value):
    assert label_value(label, CLASSES, "rest") == value


def test_instance_number_does_not_override_a_class():
    classes = Classes.from_config(["zone", "zone_2"])
    assert label_value("zone_2", classes, "rest") == 2
    assert label_value("zone_2_7", classes, "rest") == 2
    assert label_value("zone_3", classes, "rest") == 1


def test_object_numbers_follow_label_and_group():
    annotation = Annotation(
        50,
        60,
        (
            make("polygon", SQUARE, group=1),
            make("polygon", SQUARE),
            make("polygon", SQUARE, "__ignore__"),
            make("polygon", SQUARE),
            make("polygon", SQUARE, "road", group=1),
            make("polygon", SQUARE, group=1),
            make("polygon", SQUARE, "building_2", group=1),
            make("polygon", SQUARE, "_background_", group=1),
        ),
    )
    assert object_numbers(annotation, CLASSES) == [1, 2, 0, 3, 4, 1, 5, 0]


def test_parts_of_one_object_have_one_number():
    parts = [make("rectangle", [[x, 0], [x + 4, 4]], group=7) for x in (0, 10, 20)]
    objects = number(parts[0], make("rectangle", [[30, 0], [34, 4]]), parts[1], parts[2])
    assert np.bincount(objects.ravel()).tolist() == [3000 - 100, 75, 25]


def test_number_of_an_object_that_is_covered_is_missing():
    objects = number(make("rectangle", [[2, 2], [5, 5]]), make("rectangle", [[0, 0], [9, 9]]))
    assert np.unique(objects).tolist() == [0, 2]


def test_more_objects_than_16_bits_hold():
    shapes = [make("rectangle", [[i % 300, i // 300], [i % 300, i // 300]]) for i in range(2**16 + 1)]
    objects = number(*shapes, height=220, width=300)
    np.testing.assert_array_equal(objects.ravel(), [*range(1, 2**16 + 2), *[0] * (300 * 220 - 2**16 - 1)])


def test_objects_of_a_label_image_are_its_connected_regions():
    labels = np.array([[1, 0, 2, 2], [0, 1, 1, 255], [2, 0, 255, 255], [0, 0, 1, 0]], dtype=np.uint8)
    objects = rasterize_instances(Annotation(4, 4, label_values=labels), CLASSES)
    assert objects.dtype == np.int32
    np.testing.assert_array_equal(objects, [[1, 0, 2, 2], [0, 1, 1, 0], [3, 0, 0, 0], [0, 0, 4, 0]])


def test_objects_that_a_label_image_tells_apart_are_renumbered():
    labels = np.array([[1, 1, 2], [0, 255, 2]], dtype=np.uint8)
    values = np.array([[900, 70, 3000], [5, 6, 3000]], dtype=np.int32)
    objects = rasterize_instances(Annotation(2, 3, label_values=labels, object_values=values), CLASSES)
    assert objects.dtype == np.int32
    np.testing.assert_array_equal(objects, [[2, 1, 3], [0, 0, 3]])


def test_regions_of_a_volume_are_connected_through_slices():
    labels = np.zeros((3, 4, 4), dtype=np.uint8)
    labels[0, 0, 0] = labels[1, 1, 1] = labels[2, 3, 3] = 1
    assert rasterize_instances(Annotation(4, 4, label_values=labels), CLASSES).max() == 2


coordinates = st.floats(-100, 200)


@given(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=12))
def test_polygon_stays_within_its_bounds(points):
    labels = draw(make("polygon", points))
    rows, columns = np.nonzero(labels)
    corners = np.trunc(points)
    if rows.size:
        assert corners[:, 1].min() <= rows.min() <= rows.max() <= corners[:, 1].max()
        assert corners[:, 0].min() <= columns.min() <= columns.max() <= corners[:, 0].max()
    for x, y in corners.astype(int):
        if 0 <= x < 60 and 0 <= y < 50:
            assert labels[y, x] == 1


quarters = st.integers(0, 80).map(lambda quarter: quarter / 4)


@given(st.lists(st.tuples(quarters, quarters), min_size=3, max_size=8), st.integers(0, 20), st.integers(0, 20))
def test_polygon_within_the_picture_moves_with_its_points(points, right, down):
    moved = draw(make("polygon", [(x + right, y + down) for x, y in points]))
    np.testing.assert_array_equal(moved[down:, right:], draw(make("polygon", points))[: 50 - down, : 60 - right])


class TestObjectImages:
    def test_are_16_bit_grey_and_read_as_written(self, tmp_path):
        objects = np.array([[0, 1, 255], [256, 40_000, 65_535]], dtype=np.int32)
        write_instance_png(tmp_path / "a" / "b.instances.png", objects)
        read = read_instance_png(tmp_path / "a" / "b.instances.png")
        assert read.dtype == np.int32
        np.testing.assert_array_equal(read, objects)
        head = (tmp_path / "a" / "b.instances.png").read_bytes()[:26]
        assert (head[24], head[25]) == (16, 0)
        np.testing.assert_array_equal(read_values(tmp_path / "a" / "b.instances.png")[:, :, 0], objects)

    def test_have_the_same_bytes_each_time(self, tmp_path):
        for name in ("a.png", "b.png"):
            write_instance_png(tmp_path / name, np.arange(600).reshape(20, 30))
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()

    def test_hold_65535_objects_at_most(self, tmp_path):
        with pytest.raises(MaskmillError, match=r"has 65,536 objects.*leave split_touching out"):
            write_instance_png(tmp_path / "a.png", np.array([[65_536]]))
        assert not (tmp_path / "a.png").exists()

    @pytest.mark.parametrize("objects", [np.array([[0.5]]), np.array([1]), np.array([[-1]])])
    def test_are_made_of_whole_numbers(self, tmp_path, objects):
        with pytest.raises(ValueError, match="objects must be integers"):
            write_instance_png(tmp_path / "a.png", objects)

    def test_of_another_kind_of_picture(self, tmp_path):
        Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
        with pytest.raises(ImageError, match="of mode RGB where an object image has one number a pixel"):
            read_instance_png(tmp_path / "a.png")
