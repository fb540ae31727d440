"""Stop the run where parts share what they must not. In: proposed splits, leaks. Out: the splits of all stages."""

from maskmill.jobs import begin_job
from maskmill.leaks.gate import check_leaks

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    check_leaks(
        splits=snakemake.input.splits,
        leaks=snakemake.input.leaks,
        page_dir=snakemake.params.page,
        on_leak=snakemake.params.on_leak,
        output=snakemake.output.splits,
    )
