"""Draw the label image of every sample in a shard. In: shard list. Out: palette PNGs (class index), statistics."""

from maskmill.jobs import begin_job
from maskmill.labels.shard import rasterize_shard

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    rasterize_shard(
        shard_list=snakemake.input.shard,
        output_dir=snakemake.output.labels,
        options=snakemake.params.labels,
    )
