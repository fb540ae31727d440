"""What the jobs of a run ask for: memory and minutes, by the configuration and the files that the run has written.

A value is worked out again when its job is submitted; then manifest and plan exist. Before, as in a dry run, pictures
count as `GUESSED`, and networks as `guessed_network` takes them. Nothing beyond what Snakemake brings: used while
planning. What is read is kept until it changes, since the plan of ten thousand pictures asks hundreds of times.
"""

import csv
import math
import struct
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache, lru_cache
from heapq import nlargest
from pathlib import Path
from typing import Any

import yaml

from maskmill.dag.configuration import experiment_options
from maskmill.dag.costs import COSTS, MIB, Pictures
from maskmill.dag.networks import NETWORK_RULES, Network, Work, guessed_network, planned_network
from maskmill.dag.sources import list_files
from maskmill.files import read_json, read_table

GUESSED = Pictures(count=64, pixels=4_000_000, values=12_000_000, together=256_000_000, width=2000, area=4_000_000)
"""What pictures count as before they are indexed: 64 of 2000 x 2000 in colour."""

LAUNCHER = 350
"""MiB of what runs a job on a cluster's node: two Snakemakes of 175, with the demo as with ten thousand pictures."""

MORE_MEMORY = 1.5
"""How many times the memory each further attempt asks for."""

LEAST_MINUTES = 10
"""For a slow node to start Python over a network's file system, three times."""

SLACK = 4
"""How many times the measured seconds a job may take: slower cores and disks, and neighbours."""

GPU_RULES = ("train_model", "run_trial", "predict_probabilities", "build_tensorrt_engine")
"""Rules whose jobs compute on a GPU where there is one; benchmark_runtimes has one too, beside processors."""

CACHE_RULES = ("cache_samples", "fingerprint_dataset")
"""Rules that hold pictures as the cache does, where those that are enlarged count as large."""

BUNDLE_RULES = {"segment_images": "segment", "propose_annotations": "preannotate"}
"""Rules that use a bundle on pictures of no data set, and the section of the configuration that names it."""

UNPACKED = {".bmp": 1, ".nii": 1, ".jpg": 15, ".jpeg": 15, ".webp": 25}
"""Stored bytes of a picture by the bytes of its file, where nothing else is known of it; of other formats 4."""

PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""Channels of a PNG by the type of colour in its header; of a palette, once it is looked up."""

WINDOWED = 1 << 26
"""Stored bytes of a TIFF file that are in memory at a time: larger ones are read window by window."""

ANNOTATION_SUFFIXES = (".geojson", ".gpkg", ".json", ".xml")
"""Of annotation files that are no pictures."""

PARSED = {"coco": (9.5, 3), "geojson": (16, 3), "cvat": (4, 3), "labelme": (12, 1), "eiseg": (12, 1)}
"""Bytes in memory for each byte of an annotation file, by format, and of how many files at a time, the largest.

Measured: 6.3 to 8.6, 14, and 3.1 of the first three, whose last two files are kept while the next is read; the others
are taken to be like them.
"""


class Estimator:
    """Memory and time of the jobs of one run.

    config: complete, as `resolve_config` gives it. results: the folder results/<dataset>, as far as it exists. gpu:
    whether what a GPU speeds up has one.
    """

    def __init__(self, config: Mapping[str, Any], results: Path, gpu: bool = False) -> None:
        self._config, self._results, self._gpu = config, results, gpu
        self._options = cache(lambda experiment: experiment_options(config, experiment))
        members = config["dataset"]["split"]["folds"] * len(config["seeds"])
        self._classes = len(config["dataset"]["classes"])
        self._deployed = members if config["export"]["members"] == "all" else 1

    def memory_mb(self, rule: str, wildcards: Mapping[str, str], files: Iterable[str] = (), attempt: int = 1) -> int:
        """Megabytes to ask for, the launcher's included, more at each attempt.

        files: the pictures of a job that is about those of no data set.
        """
        mebibytes = (self.mebibytes(rule, wildcards, files) + LAUNCHER) * MORE_MEMORY ** (attempt - 1)
        return math.ceil(mebibytes * MIB / 1e8) * 100

    def minutes(
        self, rule: str, wildcards: Mapping[str, str], files: Iterable[str] = (), threads: int = 1, attempt: int = 1
    ) -> int:
        """Minutes to ask for, as many more at each attempt; files as in `memory_mb`."""
        seconds = SLACK * self.seconds(rule, wildcards, files, threads)
        return attempt * (LEAST_MINUTES + math.ceil(seconds / 60))

    def mebibytes(self, rule: str, wildcards: Mapping[str, str], files: Iterable[str] = ()) -> float:
        """Memory of the job alone, in MiB."""
        if rule in COSTS:
            return COSTS[rule].mebibytes(self._pictures(rule, wildcards), self._classes)
        return NETWORK_RULES[rule][0](self._work(rule, wildcards, files))

    def seconds(self, rule: str, wildcards: Mapping[str, str], files: Iterable[str] = (), threads: int = 1) -> float:
        """Seconds that the job takes on so many cores like those that were measured."""
        if rule in COSTS:
            return COSTS[rule].time(self._pictures(rule, wildcards))
        return NETWORK_RULES[rule][1](self._work(rule, wildcards, files), threads)

    def _pictures(self, rule: str, wildcards: Mapping[str, str]) -> Pictures:
        """Those of a job's shard, or all; files of the source, of any size, before they are indexed."""
        if rule == "generate_demo":
            demo = self._config["demo"]
            count, pixels = demo["groups"] * demo["scenes_per_group"], demo["size"] ** 2
            return Pictures(count, pixels, 3 * pixels, count * pixels)
        if rule == "index_samples":
            source = self._config["dataset"]["source"]
            count = len(list_files(Path(source["root"], source["images"])))
            annotations = Path(source["root"], source["annotations"])
            files = [annotations / file for file in list_files(annotations)] or [annotations]
            return Pictures(count, 0, 0, count * 1_000_000, parsed=_parsed_bytes(source["format"], files))
        shard = wildcards.get("shard")
        table = self._results / (f"shards/{shard}.csv" if shard else "manifest.csv")
        found = _read(table, _pictures_of) or GUESSED
        scale = self._config["preprocess"]["scale"]
        return found.enlarged(scale**2) if rule in CACHE_RULES and scale > 1 else found

    def _work(self, rule: str, wildcards: Mapping[str, str], files: Iterable[str]) -> Work:
        if rule in BUNDLE_RULES:
            bundle = self._config[BUNDLE_RULES[rule]]["bundle"]
            first = self._results / f"experiments/{next(iter(self._config['experiments']))}/bundle"
            with suppress(KeyError, TypeError, ValueError):  # before there is a bundle, or one of another kind
                return _work_of_bundle(_read(Path(bundle or first, "bundle.json"), read_json), pictures_of_files(files))
        experiment = wildcards.get("experiment", next(iter(self._config["experiments"])))
        search = self._results / f"experiments/{experiment}/search"
        found = search / (f"{wildcards['trial']}/options.yaml" if "trial" in wildcards else "chosen.yaml")
        options = _with_found(self._options(experiment), _read(found, _yaml_of) or {})
        ensemble = wildcards.get("member", "ensemble") == "ensemble"
        return Work(
            options=options,
            network=self._network(experiment, options, wildcards),
            pictures=pictures_of_files(files) if files else self._pictures(rule, wildcards),
            scale=self._config["preprocess"]["scale"],
            classes=self._classes,
            runtimes=1 + len(self._config["export"]["precisions"]) + len(self._config["export"]["openvino"]),
            members=self._deployed if ensemble else 1,
            gpu=self._gpu and rule in GPU_RULES,
        )

    def _network(self, experiment: str, options: Mapping[str, Any], wildcards: Mapping[str, str]) -> Network:
        """By the plan of the member's fold, of the first where all folds act together, or by a guess."""
        member = wildcards.get("member", "ensemble")
        fold = member.partition("-")[0].removeprefix("fold") if member.startswith("fold") else 0
        path = self._results / f"experiments/{experiment}/plan/fold{fold}.yaml"
        if "trial" not in wildcards:
            with suppress(KeyError, TypeError, ValueError):  # what is wrong with a plan, the training says
                return planned_network(options, _read(path, _yaml_of))
        return guessed_network(options, self._config["dataset"]["source"]["stacks"] == "volume")


def _work_of_bundle(content: Mapping[str, Any], pictures: Pictures) -> Work:
    """What a bundle does to pictures; content: of its bundle.json."""
    recipe, run = content["recipe"], next(iter(content["provenance"]["configs"].values()))
    return Work(
        options={"model": run["model"], "train": run["train"], "predict": recipe["tiling"]},
        network=guessed_network(run, recipe["volumes"]),
        pictures=pictures,
        scale=recipe["preprocessing"]["scale"],
        classes=len(recipe["classes"]),
        members=len(content["members"]),
        splits=any(step["step"] == "split_touching" for step in recipe["operating_point"]["steps"]),
    )


def pictures_of_files(files: Iterable[str]) -> Pictures:
    """Pictures of which nothing but their files is known, some of which may be folders of slices or missing."""
    places = list(map(Path, files))
    sizes = [_unpacked_png(place) or _file_bytes(place) * UNPACKED.get(place.suffix.lower(), 4) for place in places]
    held = [
        min(size, WINDOWED) if place.suffix.lower() in (".tif", ".tiff") else size
        for place, size in zip(places, sizes, strict=True)
    ]
    pixels = max(sizes, default=0)
    width = 2 * math.isqrt(pixels)  # as if four times as wide as high
    return Pictures(len(places), pixels, max(held, default=0), sum(sizes), width=width, area=pixels)


def _unpacked_png(place: Path) -> int:
    """Stored bytes by a PNG's header, as the file of a nearly empty one is a hundredth of that; 0 of what is none."""
    head = b""
    if place.suffix.lower() == ".png":
        with suppress(OSError), open(place, "rb") as file:  # what is wrong with it, the job says
            head = file.read(26)
    if len(head) < 26 or head[12:16] != b"IHDR":
        return 0
    width, height, bits, colour = struct.unpack(">IIBB", head[16:])
    return width * height * PNG_CHANNELS.get(colour, 1) * max(8, bits) // 8


def _file_bytes(place: Path) -> int:
    files = place.iterdir() if place.is_dir() else [place] if place.exists() else []
    return sum(file.stat().st_size for file in files)


def _with_found(options: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The sections with the values that a trial tries, or that a search found, in place of their own."""
    return {section: content | found.get(section, {}) for section, content in options.items()}


def _read(path: Path, convert: Callable[[Path], Any]) -> Any:
    """What `convert` makes of a file, kept until the file changes.

    None where there is no such file, or one that cannot be read, of which the job that needs it says what is wrong.
    """
    try:
        found = path.stat()
        return _converted(path, convert, found.st_mtime_ns, found.st_size)
    except (OSError, KeyError, TypeError, ValueError, csv.Error, yaml.YAMLError):
        return None


@lru_cache(maxsize=4096)
def _converted(path: Path, convert: Callable[[Path], Any], changed: int, size: int) -> Any:
    return convert(path)


def _pictures_of(table: Path) -> Pictures:
    rows = read_table(table)
    files: dict[str, set[Path]] = {}
    for row in rows:
        files.setdefault(row["format"], set()).add(Path(row["annotation"]))
    parsed = sum(_parsed_bytes(format_name, places) for format_name, places in files.items())
    return replace(Pictures.of_rows(rows), parsed=parsed)


def _parsed_bytes(format_name: str, files: Iterable[Path]) -> int:
    """What annotation files of a format take in memory at a time; of "auto", the most of any that their names allow."""
    if format_name not in PARSED and format_name != "auto":
        return 0
    factor, held = PARSED.get(format_name, PARSED["geojson"])
    texts = (file for file in files if file.suffix.lower() in ANNOTATION_SUFFIXES)
    return round(factor * sum(nlargest(held, map(_file_bytes, texts))))


def _yaml_of(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))
