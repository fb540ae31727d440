import cv2
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from maskmill.imaging.distances import distance_to_zero


@pytest.fixture
def threads():
    """Set OpenCV's threads; they are what they were afterwards."""
    before = cv2.getNumThreads()
    yield cv2.setNumThreads
    cv2.setNumThreads(before)


@pytest.mark.parametrize("size", [(90, 100), (512, 512), (1, 1500)])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_distances_are_the_nearest_numbers_to_the_exact_ones_on_any_number_of_threads(size, count, threads):
    image = (np.random.default_rng(0).random(size) > 0.001).astype(np.uint8)
    image[0, 0] = 0
    threads(count)
    used = cv2.ipp.useIPP()

    found = distance_to_zero(image)

    np.testing.assert_array_equal(found, distance_transform_edt(image).astype(np.float32))
    assert found.dtype == np.float32
    assert cv2.ipp.useIPP() == used
