"""Train one member (a fold and a seed) of an experiment.

In: cache folders, splits.csv, fingerprint.json, plan. Out: model.safetensors, config.yaml (resolved options),
history.csv (one row an epoch), training.png (curves). The state of a killed training lies in params.state.
"""

from maskmill.jobs import begin_job
from maskmill.search.options import apply_searched
from maskmill.training import train_model

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    train_model(
        cache=snakemake.input.cache,
        splits=snakemake.input.splits,
        fingerprint=snakemake.input.fingerprint,
        plan=snakemake.input.plan,
        classes=snakemake.params.classes,
        options=apply_searched(snakemake.params.options, snakemake.input.searched),
        workers=snakemake.params.workers,
        experiment=snakemake.params.experiment,
        fold=snakemake.params.fold,
        seed=snakemake.params.seed,
        code_digest=snakemake.params.code,
        model=snakemake.output.model,
        config=snakemake.output.config,
        history=snakemake.output.history,
        figure=snakemake.output.figure,
        state=snakemake.params.state,
        tensorboard=snakemake.params.tensorboard,
        tracking=snakemake.params.tracking,
    )
