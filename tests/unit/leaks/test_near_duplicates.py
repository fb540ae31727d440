"""Copies, moved cameras and overlapping places are found; other pictures, textures and spots on black are not."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from maskmill.errors import MaskmillError
from maskmill.files import read_table, sha256_file, write_table
from maskmill.imaging.georeference import Georeference
from maskmill.leaks.hashes import details, hash_pictures, perceptual_hashes, read_hashes, turned
from maskmill.leaks.near_duplicates import (
    Looks,
    compare_pictures,
    copies,
    footprint_pairs,
    matching_details,
    neighbours_by_name,
    sequence_neighbours,
    sequence_pairs,
)
from maskmill.leaks.pairs import Pairs, thin


def scene(seed, height=300, width=400, shapes=120):
    """Grey rectangles and discs at random: (H, W) uint8."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width), 128, np.uint8)
    for _ in range(shapes):
        x, y, size, grey = (int(v) for v in rng.integers((0, 0, 4, 0), (width, height, 40, 255)))
        if rng.random() < 0.5:
            cv2.rectangle(picture, (x, y), (x + size, y + size // 2), grey, -1)
        else:
            cv2.circle(picture, (x, y), size // 2, grey, -1)
    return picture


def compressed(picture):
    _, file = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 30])
    return cv2.imdecode(file, cv2.IMREAD_GRAYSCALE)


def spots_on_black(spots, count):
    """Pictures of dark noise with bright discs at random."""
    rng = np.random.default_rng(spots)
    pictures = []
    for _ in range(count):
        black = rng.normal(8, 2, (256, 256)).clip(0, 255).astype(np.uint8)
        for x, y in rng.integers(0, 256, (spots, 2)).tolist():
            cv2.circle(black, (x, y), 12, 120, -1)
        pictures.append(black)
    return pictures


def looks(pictures):
    """Of pictures (H, W) uint8, as they are stored."""
    thumbnails = [cv2.resize(p, (32, 32), interpolation=cv2.INTER_AREA) for p in pictures]
    return Looks(np.stack([perceptual_hashes(p) for p in pictures]), np.stack(thumbnails))


def indices(pairs):
    """Pairs of indices."""
    return list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def alike(*pictures):
    """Pairs of indices of pictures that are copies, or as alike as neighbours in a sequence, taking all for such."""
    seen = looks(pictures)
    everyone = np.array([(a, b) for b in range(len(pictures)) for a in range(b)])
    return sorted({*indices(copies(seen)), *indices(sequence_pairs(seen, everyone))})


def write_set(folder, pictures):
    """samples.csv and hashes of pictures (name → array): the two paths."""
    rows = []
    for name, picture in pictures.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
        rows.append({"id": name, "image": str(path), "depth": 1, "sha256_image": sha256_file(path)})
    write_table(folder / "samples.csv", rows, list(rows[0]))
    hash_pictures(folder / "samples.csv", folder / "hashes.npz")
    return folder / "samples.csv", folder / "hashes.npz"


def compare(folder, pictures):
    """Rows of the table of pairs."""
    samples, hashes = write_set(folder, pictures)
    compare_pictures(samples, [hashes], folder / "similar.csv", threads=2)
    return read_table(folder / "similar.csv")


@pytest.fixture(scope="module")
def photographs():
    pictures = [data.camera(), data.coins(), data.moon(), data.page(), data.clock(), data.text()]
    return [*pictures, *(cv2.cvtColor(p(), cv2.COLOR_RGB2GRAY) for p in (data.astronaut, data.coffee, data.chelsea))]


def test_different_pictures_are_not_alike(photographs):
    assert alike(*photographs, *(scene(seed) for seed in range(30))) == []


@pytest.mark.parametrize("texture", ["brick", "grass", "gravel"])
def test_crops_of_one_texture_are_not_alike(texture):
    whole = getattr(data, texture)()
    assert alike(*(whole[y : y + 128, x : x + 128] for y in range(0, 512, 128) for x in range(0, 512, 128))) == []


@pytest.mark.parametrize("spots", [1, 2, 5])
def test_spots_on_black_are_not_alike(spots):
    assert alike(*spots_on_black(spots, 150)) == []


@pytest.mark.parametrize("spots", [2, 5])
def test_copies_of_spots_on_black_are_alike(spots):
    pictures = spots_on_black(spots, 10)
    assert alike(*pictures, *map(compressed, pictures)) == [(i, i + 10) for i in range(10)]


def test_pictures_without_contrast_have_nothing_to_share(tmp_path):
    assert alike(*[np.full((64, 64), 7, np.uint8)] * 3) == []
    assert compare(tmp_path, {name: np.full((64, 64), 7, np.uint8) for name in "abc"}) == []


COPIES = {
    "compressed": compressed,
    "half as large": lambda p: cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "brightened": lambda p: (255 * (p / 255) ** 0.6).astype(np.uint8),
    "cut by 1 %": lambda p: p[: int(0.99 * p.shape[0]), int(0.01 * p.shape[1]) :],
    **{f"turn {turn}": lambda p, turn=turn: turned(p, turn) for turn in range(1, 8)},
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_copies_are_alike(photographs, copy):
    originals = [*photographs, scene(0)]
    expected = [(i, i + len(originals)) for i in range(len(originals))]
    found = alike(*originals, *(copy(picture) for picture in originals))
    assert [pair for pair in expected if pair not in found] == []
    assert set(found) == set(expected)


def test_a_turned_copy_is_said_to_be_turned(tmp_path, photographs):
    rows = compare(
        tmp_path,
        {"a": photographs[0], "b": photographs[0][:, ::-1], "c": np.rot90(photographs[1]), "d": photographs[1]},
    )
    details = {(row["id_a"], row["id_b"]): row["detail"] for row in rows}
    assert details["a", "b"].endswith("bits, mirrored")
    assert details["c", "d"].endswith("turned by 270°")
    assert len(details) == 2


def test_identical_files_are_named_once_and_first(tmp_path):
    rows = compare(tmp_path, {"a": scene(1), "b": scene(2), "x/c": scene(1), "d": compressed(scene(1))})
    assert [(row["kind"], row["id_a"], row["id_b"]) for row in rows] == [
        ("identical", "a", "x/c"),
        ("near_duplicate", "a", "d"),
        ("near_duplicate", "x/c", "d"),
    ]
    assert float(rows[0]["similarity"]) == 1


def test_all_of_several_identical_files_are_called_so(tmp_path):
    rows = compare(tmp_path, dict.fromkeys("abcd", scene(1)) | {"e": compressed(scene(1))})
    kinds = {(row["id_a"], row["id_b"]): row["kind"] for row in rows}
    assert {kind for (_, b), kind in kinds.items() if b != "e"} == {"identical"}
    assert {kind for (_, b), kind in kinds.items() if b == "e"} == {"near_duplicate"}
    assert len(kinds) == 6 + 4


def test_slices_of_one_file_are_not_identical(tmp_path):
    samples, hashes = write_set(tmp_path, {"a": scene(1), "b": scene(2)})
    rows = read_table(samples)
    for page, row in enumerate(rows):
        row |= {"image": f"stack.tif#page={page}", "sha256_image": "same"}
    write_table(samples, rows, list(rows[0]))
    compare_pictures(samples, [hashes], tmp_path / "similar.csv")
    assert read_table(tmp_path / "similar.csv") == []


def moved(picture, angle, scale, shift):
    """What a camera sees that is turned (degrees), nearer (scale) and moved (pixels)."""
    height, width = picture.shape
    motion = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    motion[:, 2] += shift
    return cv2.warpAffine(picture, motion, (width, height), flags=cv2.INTER_AREA)


@pytest.mark.parametrize("motion", [(0, 1, (150, 0)), (25, 1, (30, 20)), (0, 1.5, (0, 0)), (-15, 0.8, (-60, 10))])
def test_one_scene_seen_from_elsewhere_is_found_among_neighbours_by_name(tmp_path, motion):
    rows = compare(tmp_path, {"frame_9": scene(0), "frame_10": moved(scene(0), *motion), "frame_11": scene(1)})
    assert [(row["kind"], {row["id_a"], row["id_b"]}) for row in rows] == [("near_duplicate", {"frame_9", "frame_10"})]
    assert "details lie in the same arrangement" in rows[0]["detail"]


def test_different_scenes_have_few_details_in_the_same_arrangement():
    found = [details(scene(seed)) for seed in range(12)]
    counts = [matching_details(*found[i], *found[j])[0] for i in range(12) for j in range(i)]
    assert max(counts) < 10


def test_empty_pictures_have_no_details():
    places, descriptors = details(np.zeros((50, 50), np.uint8))
    assert (places.shape, descriptors.shape) == ((0, 2), (0, 32))
    assert matching_details(places, descriptors, *details(scene(0))) == (0, 0.0)


def test_neighbours_by_name_are_the_next_by_number():
    ids = [f"v/{i}" for i in range(40)]
    pairs = {(ids[a], ids[b]) for a, b in neighbours_by_name(ids, 2).tolist()}
    assert ("v/9", "v/10") in pairs
    assert ("v/9", "v/11") in pairs
    assert ("v/9", "v/12") not in pairs
    assert len(neighbours_by_name(ids, 99)) == 40 * 39 / 2
    assert neighbours_by_name(["a"], 2).shape == (0, 2)


def test_frames_that_an_official_split_took_apart_are_neighbours():
    rows = [{"id": f"{'Test' if i % 3 == 0 else 'train'}/frame{i}", "depth": "1"} for i in range(30)]
    pairs = {tuple(sorted((rows[a]["id"], rows[b]["id"]))) for a, b in sequence_neighbours(rows).tolist()}
    assert ("Test/frame6", "train/frame7") in pairs
    assert len(pairs) == 29 + 28


def test_pictures_of_different_folders_and_volumes_are_no_sequence():
    assert sequence_neighbours([{"id": "a/1", "depth": "1"}, {"id": "b/1", "depth": "1"}]).shape == (0, 2)
    assert sequence_neighbours([{"id": "a/1", "depth": "9"}, {"id": "a/2", "depth": "9"}]).shape == (0, 2)
    assert sequence_neighbours([{"id": "a/1", "depth": "1"}, {"id": "a/2", "depth": "1"}]).tolist() == [[0, 1]]


def noise(seed, shape=(64, 64)):
    """Smooth noise, zero mean and unit deviation."""
    values = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=shape), (0, 0), 1.5)
    return values / values.std()


def shown(values):
    return (128 + 35 * values).clip(0, 255).astype(np.uint8)


def test_slices_that_change_slowly_are_alike_as_neighbours_only():
    layers = [noise(seed) for seed in range(60)]
    slices = [shown(layers[i] + layers[i + 1] + layers[i + 2]) for i in range(40)]
    seen = looks(slices)
    assert indices(copies(seen)) == []
    found = indices(sequence_pairs(seen, neighbours_by_name([str(i) for i in range(40)], 2)))
    assert len(found) > 30
    assert {b - a for a, b in found} == {1}


def test_neighbours_no_more_alike_than_all_pictures_of_the_set_are_no_leak():
    anatomy = noise(99)
    patients = [shown(1.3 * anatomy + 0.9 * noise(seed)) for seed in range(40)]
    neighbours = neighbours_by_name([str(i) for i in range(40)], 2)
    assert indices(sequence_pairs(looks(patients), neighbours)) == []
    # the same two pictures in a set where others have nothing in common
    others = [shown(1.5 * noise(seed)) for seed in range(100, 140)]
    assert (0, 1) in indices(sequence_pairs(looks([*patients[:2], *others]), neighbours))


def place(x, y, crs="EPSG:32632", **other):
    """100 × 100 m with the upper left corner at (x, y); bounds in degrees roughly so."""
    west, north = 9 + (x - 500_000) / 80_000, y / 111_000
    bounds = (west, north - 100 / 111_000, west + 100 / 80_000, north) if crs else None
    return Georeference(crs, (1.0, 0.0, x, 0.0, -1.0, y), 100, 100, **({"bounds": bounds} | other))


def test_footprints_that_overlap_by_more_than_a_border():
    x, y = 500_000.0, 4_000_000.0
    places = [place(x, y), place(x + 100, y), place(x + 99.5, y + 200), place(x + 50, y), None, place(x, y, None)]
    found = footprint_pairs(places)
    assert indices(found) == [(0, 3), (1, 3)]
    assert found.similarity == pytest.approx([0.5, 0.5], abs=0.01)


def test_footprints_without_a_crs_are_compared_with_one_another():
    found = footprint_pairs([place(0, 100, None), place(25, 100, None)])
    assert found.similarity.tolist() == [0.75]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39), st.integers(40, 100)), min_size=1, max_size=300))
def test_thinned_pairs_connect_what_all_pairs_connect(rows):
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = Pairs.of([(min(a, b), max(a, b), s / 100, "") for a, b, s in rows if a != b])
    kept = thin(pairs, 40)
    both = [
        connected_components(coo_array((np.ones(len(p)), (p.first, p.second)), shape=(40, 40)), directed=False)[1]
        for p in (pairs, kept)
    ]
    assert both[0].tolist() == both[1].tolist()
    assert len(set(indices(kept))) == len(kept)


def test_the_nearest_pairs_survive_where_many_pictures_are_alike():
    rows = [(a, b, 1 - (b - a) / 1000, "") for a in range(200) for b in range(a + 1, 200)]
    kept = thin(Pairs.of(rows), 200)
    assert len(kept) < 200 * 21
    assert {(a, a + 1) for a in range(199)} <= set(indices(kept))


def test_hashes_are_read_back_in_the_order_asked_for(tmp_path):
    _, first = write_set(tmp_path / "1", {"a": scene(0), "é/b": scene(1)})
    _, second = write_set(tmp_path / "2", {"c": np.zeros((9, 9), np.uint8)})
    pictures = read_hashes([first, second], ["c", "é/b"])
    assert pictures.ids == ["c", "é/b"]
    assert (pictures.hashes[1] == perceptual_hashes(scene(1))).all()
    assert [len(p) for p in pictures.places] == [0, len(details(scene(1))[0])]
    assert (pictures.descriptors[1] == details(scene(1))[1]).all()
    assert pictures.georeferences == [None, None]
    with pytest.raises(MaskmillError, match=r"not hashed: 1 picture,.*: x"):
        read_hashes([first], ["a", "x"])


def test_a_broken_picture_is_left_out_with_a_warning(tmp_path, caplog):
    (tmp_path / "b.png").write_bytes(b"no picture")
    rows = [{"id": "b", "image": str(tmp_path / "b.png"), "depth": 1}]
    write_table(tmp_path / "shard.csv", rows, list(rows[0]))
    hash_pictures(tmp_path / "shard.csv", tmp_path / "hashes.npz")
    assert "b.png" in caplog.text
    with pytest.raises(MaskmillError, match="not hashed"):
        read_hashes([tmp_path / "hashes.npz"], ["b"])


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_deep_pictures_look_like_their_8_bit_copies(tmp_path, dtype):
    import tifffile

    picture = data.camera()
    deep = (picture * 100.0 + 5000).astype(dtype)
    if dtype == np.float32:
        deep[0, 0] = np.nan
    tifffile.imwrite(tmp_path / "deep.tif", deep)
    Image.fromarray(picture).save(tmp_path / "flat.png")
    rows = [
        {"id": name, "image": str(tmp_path / name), "depth": 1, "sha256_image": name}
        for name in ("deep.tif", "flat.png")
    ]
    write_table(tmp_path / "samples.csv", rows, list(rows[0]))
    hash_pictures(tmp_path / "samples.csv", tmp_path / "hashes.npz")
    compare_pictures(tmp_path / "samples.csv", [tmp_path / "hashes.npz"], tmp_path / "similar.csv")
    assert [row["kind"] for row in read_table(tmp_path / "similar.csv")] == ["near_duplicate"]


def test_the_same_pictures_give_the_same_bytes_in_another_process(tmp_path):
    samples, hashes = write_set(tmp_path, {f"{i}": moved(scene(i // 3), 5 * i, 1, (i, 0)) for i in range(9)})
    compare_pictures(samples, [hashes], tmp_path / "similar.csv", threads=1)
    code = (
        "from maskmill.leaks.hashes import hash_pictures; from maskmill.leaks.near_duplicates import compare_pictures\n"
        f"hash_pictures(r'{samples}', r'{tmp_path}/again.npz')\n"
        f"compare_pictures(r'{samples}', [r'{tmp_path}/again.npz'], r'{tmp_path}/again.csv', threads=3)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONHASHSEED": "7"})
    assert (tmp_path / "again.npz").read_bytes() == hashes.read_bytes()
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "similar.csv").read_bytes()
    assert len(read_table(tmp_path / "similar.csv")) >= 6
