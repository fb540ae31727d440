"""Recall of objects by size."""

import numpy as np

from maskmill.metrics.sizes import recall_by_size


def test_recall_of_each_bin_by_hand():
    objects = np.zeros((200, 200), np.int32)
    prediction = np.zeros((200, 200), bool)
    objects[0, 0:4], prediction[0, 0:2] = 1, True  # tiny, half found
    objects[2, 0:4], prediction[2, 0:1] = 2, True  # tiny, a quarter found
    objects[10:15, 0:5] = 9  # 25 pixels: small, missed
    objects[20:52, 0:32], prediction[20:60, 0:40] = 4, True  # 1024 pixels: medium, found with more around it
    assert recall_by_size(prediction, objects) == {"tiny": 0.5, "small": 0, "medium": 1, "large": None}


def test_without_objects_nothing_is_defined():
    prediction = np.ones((4, 4), bool)
    assert set(recall_by_size(prediction, np.zeros((4, 4), np.int32)).values()) == {None}


def test_a_volume_has_sizes_in_voxels():
    objects = np.zeros((3, 4, 4), np.int32)
    objects[:, :3, :3] = 1
    assert recall_by_size(objects > 0, objects)["small"] == 1
