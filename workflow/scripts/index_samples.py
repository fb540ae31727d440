"""List the samples of the data set. In: folders of pictures and annotations. Out: manifest, problems, shard lists."""

from maskmill.indexing.samples import index_samples
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    index_samples(
        source=snakemake.params.source,
        labels=snakemake.params.labels,
        split=snakemake.params.split,
        manifest=snakemake.output.manifest,
        problems=snakemake.output.problems,
        shards_dir=snakemake.output.shards,
        threads=snakemake.threads,
    )
