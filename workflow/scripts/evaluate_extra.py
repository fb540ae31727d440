"""Measure what single tasks ask for on the predictions of a split.

In: masks (folder of predicted label images), probabilities (folder of uint8 (K, D, H, W) arrays), labels (the shards'
label folders), samples.csv, splits.csv, operating_point.json.
Out: CSV of metrics, one row a case and class, shares, empty where undefined; JSON of what holds of all pixels together.
"""

from maskmill.evaluation.extra import evaluate_extra
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    evaluate_extra(
        masks=snakemake.input.masks,
        probabilities=snakemake.input.probabilities,
        labels=snakemake.input.labels,
        samples=snakemake.input.samples,
        splits=snakemake.input.splits,
        point=snakemake.input.point,
        classes=snakemake.params.classes,
        fold=snakemake.params.fold,
        split=snakemake.params.split,
        kinds=snakemake.params.extra,
        instances=snakemake.params.instances,
        table=snakemake.output.metrics,
        pooled=snakemake.output.pooled,
    )
