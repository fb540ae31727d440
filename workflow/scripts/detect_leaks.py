"""Find what leaks between the parts. In: proposed splits, pairs of samples that show the same. Out: table of leaks."""

from maskmill.jobs import begin_job
from maskmill.leaks.gate import detect_leaks

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    detect_leaks(
        splits=snakemake.input.splits,
        pairs=snakemake.input.pairs,
        dealing=snakemake.params.dealing,
        output=snakemake.output.leaks,
    )
