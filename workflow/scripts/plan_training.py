"""Propose options of a training from what its pictures are like. In: fingerprint.json. Out: a YAML file to edit."""

from maskmill.jobs import begin_job
from maskmill.planning.planner import plan_training
from maskmill.search.options import apply_searched

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    plan_training(
        fingerprint=snakemake.input.fingerprint,
        fold=snakemake.params.fold,
        options=apply_searched(snakemake.params.options, snakemake.input.searched),
        output=snakemake.output.plan,
    )
