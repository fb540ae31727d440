"""Measure the masks of a split against their labels.

In: masks (folder of predicted label PNGs), labels (the shards' label folders), splits.csv.
Out: CSV of metrics, one row a case and class; pixels and shares, empty where undefined.
"""

from maskmill.evaluation import evaluate_masks
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    evaluate_masks(
        masks=snakemake.input.masks,
        labels=snakemake.input.labels,
        splits=snakemake.input.splits,
        classes=snakemake.params.classes,
        fold=snakemake.params.fold,
        split=snakemake.params.split,
        tolerance=snakemake.params.tolerance,
        output=snakemake.output.metrics,
        threads=snakemake.threads,
    )
