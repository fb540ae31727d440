"""Maskmill: annotated pictures in, a deployed segmentation model out. This file is the table of contents."""

from snakemake.utils import min_version

min_version("9.24")


include: "workflow/rules/common.smk"


# every artifact of a data set lives under its own name
pathvars:
    results=f"results/{DATASET}",
    logs=f"logs/{DATASET}",
    benchmarks=f"benchmarks/{DATASET}",


# in execution order
include: "workflow/rules/retrieve.smk"
include: "workflow/rules/labels.smk"
include: "workflow/rules/cache.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/segment.smk"


report: "workflow/report/workflow.rst"


rule all:
    default_target: True
    input:
        "<results>/quality/audit.csv",
        "<results>/comparison.html",
        "<results>/report.html",
        expand("<results>/experiments/{experiment}/bundle", experiment=EXPERIMENTS),
        expand("<results>/experiments/{experiment}/export/runtimes.csv", experiment=EXPERIMENTS),


onsuccess:
    print(closing_words())
