"""How much faster than labelme are shapes drawn? 200 polygons of 8 to 39 vertices on 1024 × 1024 pixels, same pixels.

The polygons are star-shaped, of 10 to 60 pixels' radius, and together about as large as the picture. The other side is
`shapes_to_label` of labelme (GPL, so it is run in a process and an environment of its own: --labelme-python names the
interpreter, by default this one). Where that cannot import labelme, its algorithm as restated below stands in, and the
result says so. Both sides run in turn on the same shapes; the least time of each counts, since other work on a machine
only adds to it. labelme's function makes the map of the objects along with that of the classes: the ratio is that of
the class map alone, which is all that labels need, and `ratio_with_objects` that of both.

    python bench/rasterize.py [--labelme-python PYTHON] [--at-least 30] [--json FILE]
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageDraw

SIZE, POLYGONS, REPEATS = 1024, 200, 40
VALUES = {"building": 1, "road": 2, "tree": 3}


def random_shapes() -> list[dict]:
    """Polygons as labelme stores them."""
    rng = np.random.default_rng(0)
    shapes = []
    for number in range(POLYGONS):
        vertices = rng.integers(8, 40)
        angles = np.sort(rng.uniform(0, 2 * np.pi, vertices))
        radii = rng.uniform(10, 60) * rng.uniform(0.7, 1, vertices)
        points = rng.uniform(0, SIZE, 2) + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        label = list(VALUES)[number % len(VALUES)]
        shapes.append({"label": label, "points": points.tolist(), "shape_type": "polygon", "group_id": None})
    return shapes


def shapes_to_label(img_shape: tuple[int, int], shapes: list[dict], label_name_to_value: dict[str, int]):
    """labelme's algorithm for polygons: every shape is drawn on a picture of its own, then copied where it is."""
    labels, objects = np.zeros(img_shape, dtype=np.int32), np.zeros(img_shape, dtype=np.int32)
    for number, shape in enumerate(shapes, 1):
        canvas = Image.fromarray(np.zeros(img_shape, dtype=np.uint8))
        ImageDraw.Draw(canvas).polygon([tuple(point) for point in shape["points"]], outline=1, fill=1)
        mask = np.array(canvas, dtype=bool)
        labels[mask] = label_name_to_value[shape["label"]]
        objects[mask] = number
    return labels, objects


def serve_labelme(shapes_file: str, pixels_file: str) -> None:
    """Draw once for every line on standard input and answer with the seconds; the last pixels go to a file."""
    try:
        import labelme
        from labelme.utils import shapes_to_label as draw

        name = f"labelme {labelme.__version__}"
    except ImportError:
        draw, name = shapes_to_label, "labelme's algorithm restated"
    shapes = json.loads(Path(shapes_file).read_text())
    print(f"{name}, {versions()}", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        labels, objects = draw(img_shape=(SIZE, SIZE), shapes=shapes, label_name_to_value=VALUES)
        print(time.perf_counter() - start, flush=True)
    np.savez(pixels_file, labels=labels, objects=objects)


def compare(python: str) -> dict[str, object]:
    """The figures of both sides; an error where their pixels differ."""
    from maskmill.annotations.shapes import Annotation, Shape
    from maskmill.classes import Classes
    from maskmill.labels.rasterize import rasterize_annotation, rasterize_instances

    stored, classes = random_shapes(), Classes.from_config(list(VALUES))
    shapes = tuple(Shape(shape["label"], "polygon", np.array(shape["points"])) for shape in stored)
    annotation = Annotation(SIZE, SIZE, shapes)
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/shapes.json", f"{folder}/pixels.npz"]
        Path(files[0]).write_text(json.dumps(stored))
        peer = subprocess.Popen(
            [python, __file__, "--serve", *files], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        name = peer.stdout.readline().strip()
        seconds = {"labels": [], "objects": [], "theirs": []}
        for _ in range(REPEATS):
            start = time.perf_counter()
            labels = rasterize_annotation(annotation, classes)
            drawn = time.perf_counter()
            objects = rasterize_instances(annotation, classes)
            seconds["objects"].append(time.perf_counter() - drawn)
            seconds["labels"].append(drawn - start)
            print(file=peer.stdin, flush=True)
            seconds["theirs"].append(float(peer.stdout.readline()))
        peer.communicate()
        theirs = np.load(files[1])
        if (labels != theirs["labels"]).any() or (objects != theirs["objects"]).any():
            raise SystemExit("the pixels of the two sides differ")
    least = {name: min(times) * 1000 for name, times in seconds.items()}
    return {
        "ours_ms": least["labels"],
        "ours_objects_ms": least["objects"],
        "theirs_ms": least["theirs"],
        "ratio": least["theirs"] / least["labels"],
        "ratio_with_objects": least["theirs"] / (least["labels"] + least["objects"]),
        "medians_ms": {name: statistics.median(times) * 1000 for name, times in seconds.items()},
        "pixels_equal": True,
        "polygons": POLYGONS,
        "foreground": float((labels > 0).mean()),
        "repeats": REPEATS,
        "ours": versions(),
        "theirs": name,
        "machine": platform.machine(),
        "processor": processor(),
    }


def versions() -> str:
    """What this interpreter draws with."""
    return f"Python {platform.python_version()}, Pillow {PIL.__version__}, NumPy {np.__version__}"


def processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def main() -> int:
    """Compare and print the ratio; 1 below --at-least."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labelme-python", default=sys.executable, help="interpreter that can import labelme")
    parser.add_argument("--at-least", type=float, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve_labelme(*given.serve)
        return 0
    figures = compare(given.labelme_python)
    if given.json:
        from maskmill.files import write_json

        write_json(given.json, figures)
    print(json.dumps(figures["medians_ms"]))
    print(
        f"rasterize: ratio={figures['ratio']:.1f} (ours {figures['ours_ms']:.2f} ms, theirs {figures['theirs_ms']:.1f} "
        f"ms by {figures['theirs']}, hardware {figures['processor']}, {figures['machine']})"
    )
    return int(figures["ratio"] < given.at_least)


if __name__ == "__main__":
    sys.exit(main())
