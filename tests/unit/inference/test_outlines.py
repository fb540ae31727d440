"""Outlines of buildings become straight and right-angled, and others are left alone."""

import cv2
import numpy as np
import pytest
from scipy import ndimage
from shapely.geometry import Polygon

from maskmill.inference.outlines import orthogonalize, regularize_region


def turned_box(middle=(50, 50), sides=(50, 30), angle=20, size=100):
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [np.rint(cv2.boxPoints((middle, sides, angle)) * 16).astype(np.int32)], 1, shift=4)
    return mask > 0


def roughened(mask, amount=1.2, seed=0):
    """The mask with an outline that wobbles by about `amount` pixels."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=mask.shape), 2)
    distance = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    return distance + amount * noise / noise.std() > 0


def agreement(first, second):
    return (first & second).sum() / (first | second).sum()


def test_four_corners_by_hand():
    square = orthogonalize(np.array([[0, 0], [10, 0.5], [10.5, 10], [0, 10]], float), np.arange(4))

    edges = np.roll(square, -1, axis=0) - square
    assert square.shape == (4, 2)
    np.testing.assert_allclose((edges * np.roll(edges, -1, axis=0)).sum(axis=1), 0, atol=1e-9)
    assert Polygon(square).area == pytest.approx(100, abs=4)


def test_a_point_in_the_middle_of_a_wall_goes():
    wall = np.array([[0, 0], [10, 0.4], [20, 0], [20, 10], [0, 10]], float)

    assert len(orthogonalize(wall, np.arange(5))) == 4


def test_walls_of_an_angle_of_their_own_keep_it():
    bay = np.array([[0, 0], [40, 0], [40, 30], [20, 50], [0, 30]], float)

    kept = orthogonalize(bay, np.arange(5))

    directions = np.degrees(np.arctan2(*(np.roll(kept, -1, axis=0) - kept).T[::-1])) % 180
    assert sorted(directions.round().astype(int) % 180) == [0, 45, 90, 90, 135]


def test_rough_outlines_come_nearer_to_the_buildings():
    gains = []
    for angle in (0, 20, 45, 70):
        for seed in range(5):
            box = turned_box(angle=angle)
            rough = roughened(box, seed=seed)
            regular = regularize_region(rough[np.newaxis], 2)[0]
            gains.append(agreement(regular, box) - agreement(rough, box))
    assert np.mean(gains) > 0.01


def test_a_courtyard_stays_open():
    walls = turned_box(sides=(60, 50), angle=0) & ~turned_box(sides=(30, 20), angle=0)

    regular = regularize_region(walls[np.newaxis], 1)[0]

    assert not regular[50, 50]
    assert agreement(regular, walls) > 0.97


def test_what_stands_in_a_courtyard_stays():
    rings = np.zeros((1, 80, 80), bool)
    for depth, margin in enumerate((5, 15, 30, 35, 38)):
        rings[0, margin : 80 - margin, margin : 80 - margin] = depth % 2 == 0

    regular = regularize_region(rings, 1)

    assert agreement(regular, rings) > 0.95
    assert ndimage.label(regular[0])[1] == 3
    assert regular[0, 38:42, 38:42].all()


def test_an_empty_region_stays_empty():
    assert not regularize_region(np.zeros((1, 8, 8), bool), 1).any()


def test_a_round_tank_stays_round():
    rows, columns = np.mgrid[:80, :80]
    tank = (rows - 40) ** 2 + (columns - 40) ** 2 <= 25**2

    assert agreement(regularize_region(tank[np.newaxis], 1)[0], tank) > 0.95


def test_a_box_stays_what_it_is():
    box = np.zeros((1, 20, 20), bool)
    box[0, 3:12, 5:15] = True

    assert np.array_equal(regularize_region(box, 1), box)


def test_specks_stay():
    specks = np.zeros((1, 8, 8), bool)
    specks[0, 1, 1] = specks[0, 4, 3:7] = True

    assert np.array_equal(regularize_region(specks, 1), specks)
