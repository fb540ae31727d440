"""What a job takes in memory and time by what it handles: constants that were measured, and small formulas.

Standard library only, since resources are worked out while planning. Memory is in MiB (2**20 bytes), the sum of the
resident sets of a job's processes at their peaks. Every constant is the largest that was measured on the data sets
that docs/scaling.md names, with a tenth on top; bench/resources.py compares them with any finished run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

MIB = 2**20

VOLUME_READER = 20
"""MiB of what reads volumes, which is imported where there are any."""


PARSING = 0.1
"""Seconds of a core for a million bytes in memory of what annotation files hold."""


@dataclass(frozen=True)
class Pictures:
    """Pictures or volumes that a job handles.

    count: of them; pixels, values: pixels, and stored bytes of all channels, of the largest; together: pixels of all.
    width: of the widest; area: pixels of the largest slice. parsed: bytes that their annotation files take in memory.
    """

    count: int
    pixels: int
    values: int
    together: int
    volumes: bool = False
    width: int = 0
    area: int = 0
    parsed: int = 0

    @classmethod
    def of_rows(cls, rows: Sequence[Mapping[str, str]]) -> "Pictures":
        """Those that the rows of a manifest, or of a shard's list, describe."""
        sizes = [
            (int(row["depth"]), int(row["height"]) * int(row["width"]) * int(row["depth"]), _bytes_a_pixel(row))
            for row in rows
        ]
        if not sizes:
            return cls(0, 0, 0, 0)
        return cls(
            count=len(sizes),
            pixels=max(pixels for _, pixels, _ in sizes),
            values=max(pixels * width for _, pixels, width in sizes),
            together=sum(pixels for _, pixels, _ in sizes),
            volumes=any(depth > 1 for depth, _, _ in sizes),
            width=max(int(row["width"]) for row in rows),
            area=max(int(row["height"]) * int(row["width"]) for row in rows),
        )

    def enlarged(self, factor: float) -> "Pictures":
        """The same with so many times the pixels."""
        return replace(
            self,
            pixels=round(factor * self.pixels),
            values=round(factor * self.values),
            together=round(factor * self.together),
        )


def _bytes_a_pixel(row: Mapping[str, str]) -> int:
    bits = "".join(filter(str.isdigit, row["dtype"])) or "8"
    return int(row["channels"]) * int(bits) // 8


@dataclass(frozen=True)
class Cost:
    """What a job of a rule takes.

    base: MiB of the process with what it imports. pixel, value: bytes for each pixel, and for each stored byte, of the
    largest picture; one picture is in memory at a time. further: bytes for each of these pixels and each class but one.
    sample: KiB for each row of a table. seconds: of a job that handles little; megapixel, megavoxel: seconds of one
    core for a million pixels of pictures, and of volumes. parses: whether it reads annotation files.
    """

    base: int
    pixel: float = 0
    value: float = 0
    further: float = 0
    sample: float = 0
    seconds: float = 10
    megapixel: float = 0
    megavoxel: float = 0
    parses: bool = False

    def mebibytes(self, pictures: Pictures, classes: int = 1) -> float:
        """Memory of a job that handles these pictures."""
        of_table = self.sample * pictures.count / 2**10 + self.parses * pictures.parsed / MIB
        of_largest = self.a_pixel(classes) * pictures.pixels + self.value * pictures.values
        return self.base + VOLUME_READER * pictures.volumes + of_largest / MIB + of_table

    def a_pixel(self, classes: int) -> float:
        """Bytes for each pixel of the largest picture, beside those of its values."""
        return self.pixel + self.further * (classes - 1)

    def time(self, pictures: Pictures) -> float:
        """Seconds of a job that handles these pictures."""
        each = self.megavoxel if pictures.volumes else self.megapixel
        return self.seconds + each * pictures.together / 1e6 + self.parses * PARSING * pictures.parsed / 1e6


COSTS = {
    # no more than the standard library: 27 MiB
    "check_inputs": Cost(30, sample=10),
    "check_leaks": Cost(30, sample=10),
    "choose_trial": Cost(35),
    "collect_problems": Cost(30, sample=10),
    "describe_provenance": Cost(55, sample=40, seconds=60, megapixel=0.05, megavoxel=0.05),
    "detect_leaks": Cost(30, sample=10),
    "retrieve_dataset": Cost(80, seconds=20000),
    # NumPy, OpenCV and what else reads and draws pictures: 62 to 95 MiB, and more for each pixel
    "generate_demo": Cost(100, pixel=550, seconds=30, megapixel=1.5),
    "index_samples": Cost(155, sample=40, seconds=60, megapixel=0.05, megavoxel=0.05, parses=True),
    "rasterize_labels": Cost(130, pixel=40, megapixel=0.2, megavoxel=0.2, parses=True),
    "audit_labels": Cost(145, pixel=38, megapixel=0.2, megavoxel=0.2, parses=True),
    "summarize_audit": Cost(85, sample=10),
    "draw_sheets": Cost(95, pixel=5, value=7, seconds=60),
    "render_audit": Cost(75, sample=10),
    "hash_pictures": Cost(100, pixel=11, value=4, megapixel=0.1, megavoxel=0.1),
    "compare_pictures": Cost(105, sample=40, seconds=60),
    "split_samples": Cost(75, sample=10),
    "preannotate": Cost(70, sample=10),
    "segment": Cost(170),  # 62 measured, and 1 KiB for each of a hundred thousand new pictures
    "draw_leaks": Cost(95, pixel=5, value=7, seconds=60),
    "cache_samples": Cost(80, pixel=5, value=11, megapixel=0.2, megavoxel=0.2),
    "fingerprint_dataset": Cost(95, pixel=6, value=1.5, sample=10, seconds=60, megapixel=0.02, megavoxel=0.1),
    "annotate_images": Cost(500),
    # the same with SciPy and what measures masks
    "choose_operating_point": Cost(150, pixel=55, further=9, sample=10, megapixel=2, megavoxel=20),
    "postprocess_masks": Cost(110, pixel=55, further=8, sample=10, megapixel=0.2, megavoxel=2),
    "evaluate_masks": Cost(110, pixel=20, sample=10, megapixel=0.5, megavoxel=1),
    "evaluate_extra": Cost(140, pixel=75, further=8, sample=10, megapixel=10, megavoxel=10),
    "measure_seams": Cost(75, pixel=18, sample=10, megapixel=0.1, megavoxel=0.2),
    "measure_uncertainty": Cost(150, pixel=4, further=8, sample=10, megapixel=0.5, megavoxel=1),
    "summarize_experiment": Cost(145, sample=10, seconds=30),
    "compare_experiments": Cost(205, pixel=5, value=7, sample=10, seconds=60),
    "render_report": Cost(225, pixel=5, value=7, sample=10, seconds=60),
    # SQLAlchemy and MLflow
    "create_tracking_store": Cost(330, seconds=30),
    "record_results": Cost(325, seconds=30),
    "register_bundle": Cost(450, seconds=60),
    # Optuna
    "suggest_trial": Cost(75, seconds=30),
    # PyTorch
    "plan_training": Cost(345, seconds=30),
    "plan_ensemble": Cost(345, seconds=30),
    "pack_bundle": Cost(85, seconds=30),
}
"""Of the rules that take the same memory whatever the network."""
