"""Find the samples that show the same. In: samples, hashes of all shards. Out: table of pairs with their similarity."""

from maskmill.jobs import begin_job
from maskmill.leaks.near_duplicates import compare_pictures

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    compare_pictures(
        samples=snakemake.input.samples,
        hashes=snakemake.input.hashes,
        output=snakemake.output.pairs,
        threads=snakemake.threads,
    )
