"""The sliding window against MONAI's, and its weights against nnU-Net's formula."""

import warnings

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from maskmill.inference.preprocess import Preprocessing
from maskmill.inference.sliding_window import predict_probabilities
from maskmill.inference.tiling import Tiling, tile_weights

PLAIN = Preprocessing(1, 1.0, ((0, 255),), 0, False, "dataset", (0.0,), (1.0,))
TILE, OVERLAP = (8, 16, 24), 0.25
SIZE = (20, 40, 42)  # at these sizes tiles of even spacing begin where those of MONAI do, at multiples of 6, 12 and 18


@pytest.fixture(scope="module")
def sliding_window_inference():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("monai.inferers").sliding_window_inference


@pytest.mark.parametrize("blending", ["gaussian", "constant"])
def test_probabilities_of_volumes_equal_monais(sliding_window_inference, blending):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 5, padding=2), torch.nn.Sigmoid()).eval()
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 1)).astype(np.uint8)

    def runtime(batch):
        with torch.inference_mode():
            return network(torch.from_numpy(batch)).numpy()

    tiling = Tiling(TILE, OVERLAP, blending, 3)
    ours = predict_probabilities(image, PLAIN, tiling, (4, 8, 8), 3, runtime)
    with torch.inference_mode():
        values = torch.from_numpy(image[..., 0].astype(np.float32) / 255)[None, None]
        theirs = sliding_window_inference(values, TILE, 2, network, OVERLAP, mode=blending, sigma_scale=0.125)
    assert np.abs(ours - 255 * theirs[0].numpy()).max() < 0.501


@pytest.mark.parametrize("blending", ["gaussian", "constant"])
def test_probabilities_of_pictures_equal_monais(sliding_window_inference, blending):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 5, padding=2), torch.nn.Sigmoid()).eval()
    image = np.random.default_rng(0).integers(0, 256, (1, *SIZE[1:], 1)).astype(np.uint8)

    def runtime(batch):
        with torch.inference_mode():
            return network(torch.from_numpy(batch)).numpy()

    ours = predict_probabilities(image, PLAIN, Tiling((1, *TILE[1:]), OVERLAP, blending, 3), (1, 8, 8), 2, runtime)
    with torch.inference_mode():
        values = torch.from_numpy(image[..., 0].astype(np.float32) / 255)[None]
        theirs = sliding_window_inference(values, TILE[1:], 2, network, OVERLAP, mode=blending, sigma_scale=0.125)
    assert np.abs(ours[:, 0] - 255 * theirs[0].numpy()).max() < 0.501


def test_weights_equal_nnunets_formula_above_the_floor():
    tile = (9, 33, 25)  # odd sides have their middle where nnU-Net puts the peak
    peak = np.zeros(tile)
    peak[tuple(side // 2 for side in tile)] = 1
    expected = gaussian_filter(peak, [side / 8 for side in tile], mode="constant")

    weights = tile_weights(tile, "gaussian")

    np.testing.assert_allclose(weights, np.maximum(expected / expected.max(), 1e-3), rtol=1e-5)


def test_exact_overlap_equals_the_network_over_the_whole_mirrored_picture():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 5, padding=2), torch.nn.Sigmoid()).eval()
    image = np.random.default_rng(0).integers(0, 256, (1, 50, 77, 1)).astype(np.uint8)

    def runtime(batch):
        with torch.inference_mode():
            return network(torch.from_numpy(batch)).numpy()

    tiling = Tiling((1, 16, 24), "exact", "gaussian", 3, "none", (0, 2, 2))
    ours = predict_probabilities(image, PLAIN, tiling, (1, 2, 2), 2, runtime)
    mirrored = np.pad(image[0, ..., 0].astype(np.float32) / 255, 2, mode="symmetric")
    assert np.abs(ours[:, 0] - 255 * runtime(mirrored[None, None])[0, :, 2:-2, 2:-2]).max() < 0.501
