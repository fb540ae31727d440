"""Divide the samples by group into training, validation and test. In: samples, label statistics. Out: splits table."""

from maskmill.jobs import begin_job
from maskmill.splits import split_samples

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    split_samples(
        samples=snakemake.input.samples,
        label_dirs=snakemake.input.labels,
        output=snakemake.output.splits,
        table=snakemake.input.get("table") or None,
        pairs=snakemake.input.get("pairs") or None,
        classes=snakemake.params.classes,
        page=snakemake.params.page,
        **snakemake.params.split,
    )
