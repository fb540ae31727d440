"""Find what leaks between the parts. In: proposed splits, pairs of samples that show the same. Out: table of leaks."""

from maskmill.leaks.gate import detect_leaks
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    detect_leaks(
        splits=snakemake.input.splits,
        pairs=snakemake.input.pairs,
        dealing=snakemake.params.dealing,
        output=snakemake.output.leaks,
    )
