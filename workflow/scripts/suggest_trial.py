"""Suggest the options of a trial from the scores of earlier rounds. In: score.json of each. Out: options, YAML."""

from maskmill.jobs import begin_job
from maskmill.search.suggest import suggest_trial

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    suggest_trial(
        search=snakemake.params.search,
        place=snakemake.params.place,
        earlier=snakemake.input.scores,
        output=snakemake.output.options,
    )
