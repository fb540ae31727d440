"""Measure the masks of a split against their labels.

In: masks (folder of predicted label images), labels (the shards' label folders), samples.csv, splits.csv.
Out: CSV of metrics, one row a case and class; pixels, shares, distances in px or of volumes mm; empty where undefined.
"""

from maskmill.evaluation.measure import evaluate_masks
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    evaluate_masks(
        masks=snakemake.input.masks,
        labels=snakemake.input.labels,
        samples=snakemake.input.samples,
        splits=snakemake.input.splits,
        classes=snakemake.params.classes,
        fold=snakemake.params.fold,
        split=snakemake.params.split,
        tolerance=snakemake.params.tolerance,
        output=snakemake.output.metrics,
        threads=snakemake.threads,
    )
