"""The demo data set: aerial scenes of invented places with labelme annotations, drawn from a seed."""

from pathlib import Path

import cv2
import numpy as np

from maskmill.demo.annotate import LABELS, annotate
from maskmill.demo.camera import photograph
from maskmill.demo.layout import compose_scene
from maskmill.demo.site import draw_site
from maskmill.files import atomic_path, write_json
from maskmill.logs import progress


def generate_demo(output: Path, seed: int, groups: int = 12, scenes_per_group: int = 3, size: int = 512) -> None:
    """Write `groups` × `scenes_per_group` pictures with their annotations to the folder `output`, or nothing at all.

    images/site_01/scene_1.jpg … are RGB, `size` × `size` pixels, one folder for each group (same light and materials);
    annotations/site_01/scene_1.json … are labelme 5 files with the labels building and road;
    labels.txt is the label list for labelme. A few scenes are empty. The same arguments give the same bytes.
    """
    with atomic_path(output) as folder:
        folder.mkdir()
        (folder / "labels.txt").write_text("\n".join(("__ignore__", "_background_", *LABELS)) + "\n", encoding="utf-8")
        empty = _empty_scenes(seed, groups, scenes_per_group)
        scenes = [(group, scene) for group in range(1, groups + 1) for scene in range(1, scenes_per_group + 1)]
        for group, scene in progress(scenes, "drawing demo scenes"):
            _write_scene(folder, seed, group, scene, size, (group, scene) in empty)


def _empty_scenes(seed: int, groups: int, scenes_per_group: int) -> set[tuple[int, int]]:
    """About one scene in 18, at least one, each of another group."""
    rng = np.random.default_rng(seed)
    count = max(1, groups * scenes_per_group // 18)
    chosen = rng.choice(groups, min(count, groups), replace=False) + 1
    return {(int(group), int(rng.integers(scenes_per_group)) + 1) for group in chosen}


def _write_scene(folder: Path, seed: int, group: int, number: int, size: int, empty: bool) -> None:
    name = f"site_{group:02d}/scene_{number}"
    rng = np.random.default_rng((seed, group, number))
    site = draw_site(seed, group)
    scene = compose_scene(site, rng, size, empty)
    image, annotation = folder / f"images/{name}.jpg", folder / f"annotations/{name}.json"
    image.parent.mkdir(parents=True, exist_ok=True)
    _, jpeg = cv2.imencode(".jpg", photograph(scene, site, rng)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    image.write_bytes(jpeg)  # which fails where the disk is full, as imwrite does not
    write_json(annotation, annotate(scene, f"../../images/{name}.jpg", rng))
