"""Stop the run, or leave samples out, where files have problems. In: problems, manifest. Out: accepted samples."""

from maskmill.labels.problems import check_inputs
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    check_inputs(
        problems=snakemake.input.problems,
        manifest=snakemake.input.manifest,
        on_problem=snakemake.params.on_problem,
        output=snakemake.output.samples,
    )
