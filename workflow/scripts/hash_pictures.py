"""Describe the looks of a shard's pictures. In: shard list. Out: .npz of perceptual hashes, thumbnails, ORB details."""

from maskmill.jobs import begin_job
from maskmill.leaks.hashes import hash_pictures

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    hash_pictures(shard_list=snakemake.input.shard, output=snakemake.output.hashes)
