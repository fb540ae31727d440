"""Choose the options that a search comes to. In: score.json of every trial. Out: trials.csv; the options, YAML."""

from maskmill.logs import configure_logging
from maskmill.search.choice import choose_trial

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    choose_trial(
        scores=snakemake.input.scores,
        table=snakemake.output.table,
        chosen=snakemake.output.chosen,
    )
