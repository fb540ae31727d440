"""Stop the run, or leave samples out, where files have problems. In: problems, manifest. Out: accepted samples."""

from maskmill.jobs import begin_job
from maskmill.labels.problems import check_inputs

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    check_inputs(
        problems=snakemake.input.problems,
        manifest=snakemake.input.manifest,
        on_problem=snakemake.params.on_problem,
        output=snakemake.output.samples,
    )
