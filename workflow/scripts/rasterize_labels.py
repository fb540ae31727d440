"""Draw the label image of every sample in a shard. In: shard list. Out: palette PNGs (class index), statistics."""

from maskmill.labels.shard import rasterize_shard
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    rasterize_shard(
        shard_list=snakemake.input.shard,
        output_dir=snakemake.output.labels,
        options=snakemake.params.labels,
    )
