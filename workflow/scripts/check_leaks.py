"""Stop the run where parts share what they must not. In: proposed splits, leaks. Out: the splits of all stages."""

from maskmill.leaks.gate import check_leaks
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    check_leaks(
        splits=snakemake.input.splits,
        leaks=snakemake.input.leaks,
        page_dir=snakemake.params.page,
        on_leak=snakemake.params.on_leak,
        output=snakemake.output.splits,
    )
