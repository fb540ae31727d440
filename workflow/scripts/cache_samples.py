"""Turn a shard's accepted pictures and labels into arrays. In: shard list, samples.csv, label PNGs. Out: cache folder.

Arrays: <id>.image.npy (height, width, channels) in the stored dtype, <id>.label.npy (height, width) uint8 class index.
"""

from maskmill.cache import cache_shard
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    cache_shard(
        shard_list=snakemake.input.shard,
        samples=snakemake.input.samples,
        labels=snakemake.input.labels,
        output=snakemake.output.cache,
        scale=snakemake.params.scale,
    )
