"""Measure errors near the borders of tiles against those elsewhere.

In: probabilities and masks of a split, labels (the shards' label folders), samples.csv, splits.csv, config.yaml of each
member.
Out: CSV, one row a case: pixels, wrong pixels and mean |p − label| near borders and far from them, ratio of the shares.
"""

from maskmill.evaluation.seams import measure_seams
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    measure_seams(
        probabilities=snakemake.input.probabilities,
        masks=snakemake.input.masks,
        labels=snakemake.input.labels,
        samples=snakemake.input.samples,
        splits=snakemake.input.splits,
        config=snakemake.input.configs[0],  # members of an ensemble have the same tiles
        split=snakemake.params.split,
        tiling=snakemake.params.tiling,
        output=snakemake.output.seams,
    )
