"""Check that members of all folds can be averaged in one model, before they are trained.

In: fingerprint.json, the plan of each fold. Out: JSON, what the members have in common; fails where they cannot.
"""

from pathlib import Path

from maskmill.jobs import begin_job
from maskmill.planning.ensemble import plan_ensemble
from maskmill.search.options import apply_searched

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    plan_ensemble(
        fingerprint=Path(snakemake.input.fingerprint),
        plans=[Path(plan) for plan in snakemake.input.plans],
        seed=snakemake.params.seed,
        options=apply_searched(snakemake.params.options, snakemake.input.searched),
        tiling=snakemake.params.tiling,
        output=Path(snakemake.output.plan),
    )
