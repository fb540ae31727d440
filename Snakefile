"""Maskmill: annotated pictures in, a deployed segmentation model out. This file is the table of contents."""

from snakemake.utils import min_version

min_version("9.24")


include: "workflow/rules/common.smk"
include: "workflow/rules/modules.smk"
include: "workflow/rules/new_pictures.smk"
include: "workflow/rules/resources.smk"


# every artifact of a data set lives under its own name
pathvars:
    results=f"results/{DATASET}",
    logs=f"logs/{DATASET}",
    benchmarks=f"benchmarks/{DATASET}",


refuse_moved_folders()


# in execution order
include: "workflow/rules/retrieve.smk"
include: "workflow/rules/labels.smk"
include: "workflow/rules/splits.smk"
include: "workflow/rules/cache.smk"
include: "workflow/rules/search.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/segment.smk"
include: "workflow/rules/annotate.smk"


# checked labels, their audit and the split, without any training
rule labels:
    input:
        "<results>/quality/audit.html",
        "<results>/quality/leaks",
        "<results>/splits.csv",


# all experiments side by side, on a page and in MLflow
rule compare:
    input:
        "<results>/comparison.html",
        expand("<results>/experiments/{experiment}/recorded.json", experiment=EXPERIMENTS),


rule all:
    default_target: True
    input:
        MADE,
        "<results>/provenance.json",
