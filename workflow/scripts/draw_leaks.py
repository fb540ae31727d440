"""Show the leaks between the parts as pictures. In: table of leaks, samples, splits. Out: folder with an HTML page."""

from maskmill.jobs import begin_job
from maskmill.leaks.page import draw_leaks

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    draw_leaks(
        leaks=snakemake.input.leaks,
        samples=snakemake.input.samples,
        splits=snakemake.input.splits,
        dataset=snakemake.params.dataset,
        output=snakemake.output.page,
    )
