"""Describe the looks of a shard's pictures. In: shard list. Out: .npz of perceptual hashes, thumbnails, ORB details."""

from maskmill.leaks.hashes import hash_pictures
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    hash_pictures(shard_list=snakemake.input.shard, output=snakemake.output.hashes)
