"""Train one member (a fold and a seed) of an experiment.

In: cache folders, splits.csv, fingerprint.json, plan. Out: model.safetensors, config.yaml (resolved options),
history.csv (one row an epoch), training.png (curves). The state of a killed training lies in params.state.
"""

from maskmill.logs import configure_logging
from maskmill.search.options import apply_searched
from maskmill.training import train_model

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
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
