"""Turn a shard's accepted pictures and labels into arrays. In: shard list, samples.csv, label images. Out: a folder.

Arrays: <id>.image.npy (depth, height, width, channels) in the stored dtype, <id>.label.npy (depth, height, width) uint8
class index, <id>.places.npy (5, n) int32 pixels of the classes; depth is 1 but of volumes. statistics.csv says more.
"""

from maskmill.data.cache import cache_shard
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    cache_shard(
        shard_list=snakemake.input.shard,
        samples=snakemake.input.samples,
        labels=snakemake.input.labels,
        output=snakemake.output.cache,
        scale=snakemake.params.scale,
    )
