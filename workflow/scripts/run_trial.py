"""Train with the options of a trial and score it on validation pictures.

In: options of the trial, cache and label folders, samples.csv, splits.csv, fingerprint.json. Out: score.json.
What the training leaves, the state of a killed one too, lies in params.folder.
"""

from maskmill.jobs import begin_job
from maskmill.search.trial import run_trial

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    run_trial(
        experiment=snakemake.wildcards.experiment,
        trial=snakemake.wildcards.trial,
        tried=snakemake.input.tried,
        options=snakemake.params.options,
        tiling=snakemake.params.tiling,
        postprocess=snakemake.params.postprocess,
        classes=snakemake.params.classes,
        seed=snakemake.params.seed,
        cache=snakemake.input.cache,
        labels=snakemake.input.labels,
        samples=snakemake.input.samples,
        splits=snakemake.input.splits,
        fingerprint=snakemake.input.fingerprint,
        code_digest=snakemake.params.code,
        tracking=snakemake.params.tracking,
        workers=snakemake.params.workers,
        folder=snakemake.params.folder,
        score=snakemake.output.score,
    )
