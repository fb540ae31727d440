"""The polygon that a hole is cut out of, of few and of many."""

import re
import time

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from maskmill.annotations import labelme
from maskmill.annotations.shapes import AnnotationError
from tests.unit.label_data import shape, write_labelme

RINGS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).map(list), min_size=2, max_size=5)


@st.composite
def drawn_shapes(draw):
    """Small polygons over one another, which may cross themselves, holes among them, and other shapes."""
    labels, groups = st.sampled_from(["a", "b"]), st.sampled_from([None, None, 1, 2])
    shapes = []
    for _ in range(draw(st.integers(1, 12))):
        other = {"label": draw(labels), "points": draw(RINGS), "group_id": draw(groups)}
        if draw(st.booleans()):
            other |= {"points": [[x / 3 + 3, y / 3 + 3] for x, y in other["points"]], "flags": {"hole": True}}
        elif draw(st.integers(0, 4)) == 0:
            other |= {"kind": "linestrip"}
        shapes.append(shape(**other))
    return shapes


def owners_one_by_one(shapes):
    """Holes of every shape that is none, and numbers of the holes without owner: every polygon is asked in turn."""
    found, holes, alone = [], [], []
    for number, stored in enumerate(shapes, 1):
        if not stored["flags"].get("hole"):
            found.append(stored)
            holes.append([])
            continue
        if len(stored["points"]) < 3:
            alone.append(number)
            continue
        alike = [
            place
            for place, other in reversed(list(enumerate(found)))
            if other["shape_type"] == "polygon"
            and len(other["points"]) > 2
            and other["label"] == stored["label"]
            and stored["group_id"] in (None, other["group_id"])
        ]
        ring = np.array(stored["points"], dtype=np.float64)
        around = [
            place
            for place in alike
            if shapely.intersects_xy(shapely.Polygon(found[place]["points"]), ring[:, 0], ring[:, 1]).all()
        ]
        owners = around or (alike if stored["group_id"] is not None else [])
        if owners:
            holes[owners[0]].append(stored["points"])
        else:
            alone.append(number)
    return holes, alone


@settings(max_examples=300)
@given(shapes=drawn_shapes())
def test_owners_are_those_found_one_by_one(tmp_path_factory, shapes):
    path = write_labelme(tmp_path_factory.mktemp("holes") / "a.json", *shapes)
    holes, alone = owners_one_by_one(shapes)
    if alone:
        with pytest.raises(AnnotationError) as caught:
            labelme.read(path)
        assert [int(re.search(r"shape (\d+)", finding.detail)[1]) for finding in caught.value.findings] == alone
    else:
        assert [[ring.tolist() for ring in found.holes] for found in labelme.read(path).shapes] == holes


def test_many_holes_in_many_polygons_take_seconds(tmp_path):
    """Asking every polygon in turn, 3,000 holes in 3,000 polygons would take minutes."""
    corners = np.array([[0, 0], [18, 0], [18, 18], [0, 18]])
    places = [np.array([20 * (i % 60), 20 * (i // 60)]) for i in range(3000)]
    outer = [shape(points=(place + corners).tolist()) for place in places]
    inner = [shape(points=(place + 4 + corners / 3).tolist(), flags={"hole": True}) for place in places]
    path = write_labelme(tmp_path / "a.json", *outer, *inner, height=1000, width=1200)
    begun = time.process_time()
    annotation = labelme.read(path)
    assert time.process_time() - begun < 10
    assert {len(found.holes) for found in annotation.shapes} == {1}
