"""Write the page that a person reads at the end.

In: tables and pictures of the data set; summary, export verdict, timings and ONNX model of each experiment; plan,
config, history, operating point, metrics, test masks, seams, uncertainty and weights of every member, experiment by
experiment; of every ensemble that is deployed what it has of these; the trials
of every search.
Out: report.html, one file with its pictures inside.
"""

from maskmill.jobs import begin_job
from maskmill.report.data import DataFiles
from maskmill.report.page import render_report
from maskmill.report.results import experiment_files

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    trials = dict(zip(snakemake.params.searched, snakemake.input.trials, strict=True))
    render_report(
        dataset=snakemake.params.dataset,
        classes=snakemake.params.classes,
        data=DataFiles(
            samples=snakemake.input.samples,
            splits=snakemake.input.splits,
            problems=snakemake.input.problems,
            audit=snakemake.input.audit,
            sheets=snakemake.input.sheets,
            fingerprint=snakemake.input.fingerprint,
            labels=snakemake.input.labels,
        ),
        experiments=experiment_files(
            snakemake.params.experiments,
            snakemake.params.members,
            of_members={
                "plan": snakemake.input.plans,
                "config": snakemake.input.configs,
                "history": snakemake.input.histories,
                "point": snakemake.input.points,
                "metrics": snakemake.input.metrics,
                "masks": snakemake.input.masks,
                "model": snakemake.input.models,
                "seams": snakemake.input.seams,
                "validation": snakemake.input.validation,
                "uncertainty": snakemake.input.uncertainty,
                "maps": snakemake.input.maps,
            },
            of_experiments={
                "summary": snakemake.input.summaries,
                "parity": snakemake.input.parity,
                "runtimes": snakemake.input.runtimes,
                "onnx": snakemake.input.onnx,
                "bundle": snakemake.params.bundles,
                "trials": [trials.get(name, "") for name in snakemake.params.experiments],
            },
            of_ensembles={
                "point": snakemake.input.ensemble_points,
                "metrics": snakemake.input.ensemble_metrics,
                "masks": snakemake.input.ensemble_masks,
                "seams": snakemake.input.ensemble_seams,
                "uncertainty": snakemake.input.ensemble_uncertainty,
                "maps": snakemake.input.ensemble_maps,
            },
        ),
        comparison=snakemake.input.comparison,
        output=snakemake.output.report,
    )
