"""Choose the options that a search comes to. In: score.json of every trial. Out: trials.csv; the options, YAML."""

from maskmill.jobs import begin_job
from maskmill.search.choice import choose_trial

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    choose_trial(
        scores=snakemake.input.scores,
        table=snakemake.output.table,
        chosen=snakemake.output.chosen,
    )
