"""Show the leaks between the parts as pictures. In: table of leaks, samples, splits. Out: folder with an HTML page."""

from maskmill.leaks.page import draw_leaks
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    draw_leaks(
        leaks=snakemake.input.leaks,
        samples=snakemake.input.samples,
        splits=snakemake.input.splits,
        dataset=snakemake.params.dataset,
        output=snakemake.output.page,
    )
