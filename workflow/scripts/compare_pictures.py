"""Find the samples that show the same. In: samples, hashes of all shards. Out: table of pairs with their similarity."""

from maskmill.leaks.near_duplicates import compare_pictures
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    compare_pictures(
        samples=snakemake.input.samples,
        hashes=snakemake.input.hashes,
        output=snakemake.output.pairs,
        threads=snakemake.threads,
    )
