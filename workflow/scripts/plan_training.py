"""Propose options of a training from what its pictures are like. In: fingerprint.json. Out: a YAML file to edit."""

from maskmill.logs import configure_logging
from maskmill.planning.planner import plan_training
from maskmill.search.options import apply_searched

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    plan_training(
        fingerprint=snakemake.input.fingerprint,
        fold=snakemake.params.fold,
        options=apply_searched(snakemake.params.options, snakemake.input.searched),
        output=snakemake.output.plan,
    )
