"""The page that a person reads at the end, and the words on the page of `snakemake --report`."""


report: "../report/workflow.rst"


rule render_report:
    input:
        problems="<results>/problems.csv",
        audit="<results>/quality/audit.csv",
        sheets="<results>/quality/sheets",
        samples="<results>/samples.csv",
        splits="<results>/splits.csv",
        fingerprint="<results>/fingerprint.json",
        labels=label_folders,
        comparison="<results>/comparison.csv",
        summaries=expand("<results>/experiments/{experiment}/summary.json", experiment=EXPERIMENTS),
        parity=expand("<results>/experiments/{experiment}/export/parity.json", experiment=EXPERIMENTS),
        runtimes=expand("<results>/experiments/{experiment}/export/runtimes.csv", experiment=EXPERIMENTS),
        onnx=expand("<results>/experiments/{experiment}/export/model.onnx", experiment=EXPERIMENTS),
        plans=PLANS,
        configs=expand("<results>/runs/{experiment}/{member}/config.yaml", experiment=EXPERIMENTS, member=MEMBERS),
        histories=expand("<results>/runs/{experiment}/{member}/history.csv", experiment=EXPERIMENTS, member=MEMBERS),
        points=expand(
            "<results>/runs/{experiment}/{member}/operating_point.json", experiment=EXPERIMENTS, member=MEMBERS
        ),
        metrics=expand("<results>/runs/{experiment}/{member}/metrics/test.csv", experiment=EXPERIMENTS, member=MEMBERS),
        masks=expand("<results>/runs/{experiment}/{member}/masks/test", experiment=EXPERIMENTS, member=MEMBERS),
        seams=expand("<results>/runs/{experiment}/{member}/seams/test.csv", experiment=EXPERIMENTS, member=MEMBERS),
        validation=expand(
            "<results>/runs/{experiment}/{member}/metrics/validation.csv", experiment=EXPERIMENTS, member=MEMBERS
        ),
        uncertainty=expand(
            "<results>/runs/{experiment}/{member}/uncertainty/test.json", experiment=EXPERIMENTS, member=MEMBERS
        ),
        maps=expand("<results>/runs/{experiment}/{member}/uncertainty/test", experiment=EXPERIMENTS, member=MEMBERS),
        models=expand("<results>/runs/{experiment}/{member}/model.safetensors", experiment=EXPERIMENTS, member=MEMBERS),
        trials=expand("<results>/experiments/{experiment}/search/trials.csv", experiment=SEARCHES),
        ensemble_points=of_ensembles("<results>/runs/{experiment}/{member}/operating_point.json"),
        ensemble_metrics=of_ensembles("<results>/runs/{experiment}/{member}/metrics/test.csv"),
        ensemble_masks=of_ensembles("<results>/runs/{experiment}/{member}/masks/test"),
        ensemble_seams=of_ensembles("<results>/runs/{experiment}/{member}/seams/test.csv"),
        ensemble_uncertainty=of_ensembles("<results>/runs/{experiment}/{member}/uncertainty/test.json"),
        ensemble_maps=of_ensembles("<results>/runs/{experiment}/{member}/uncertainty/test"),
    output:
        report=report("<results>/report.html", caption="../report/report.rst", category="Summary"),
    log:
        "<logs>/render_report.log",
    benchmark:
        "<benchmarks>/render_report.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("render_report"),
        runtime=minutes("render_report"),
    params:
        dataset=DATASET,
        classes=CLASSES,
        experiments=EXPERIMENTS,
        members=MEMBERS,
        searched=list(SEARCHES),
        # not an input: where parity fails there is no bundle, and the report says so
        bundles=[f"results/{DATASET}/experiments/{experiment}/bundle" for experiment in EXPERIMENTS],
        library=digest("render_report"),
    message:
        "Write the report"
    script:
        "../scripts/render_report.py"


# what a plain run makes; where each of it comes from is told at its end
MADE = [
    "<results>/quality/audit.html",
    "<results>/quality/leaks",
    "<results>/splits.csv",
    "<results>/comparison.html",
    "<results>/report.html",
    *expand("<results>/experiments/{experiment}/recorded.json", experiment=EXPERIMENTS),
    *expand("<results>/experiments/{experiment}/bundle", experiment=EXPERIMENTS),
    *expand("<results>/experiments/{experiment}/export/runtimes.csv", experiment=EXPERIMENTS),
    *expand("<results>/experiments/{experiment}/registered.json", experiment=REGISTERED),
]


rule describe_provenance:
    input:
        MADE,
    output:
        record="<results>/provenance.json",
        crate="<results>/ro-crate-metadata.json",
        code=directory("<results>/code"),
    log:
        "<logs>/describe_provenance.log",
    benchmark:
        "<benchmarks>/describe_provenance.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 4
    resources:
        mem_mb=memory("describe_provenance"),
        runtime=minutes("describe_provenance"),
    params:
        # functions of input are no reason to run again: what changes a file does
        root=lambda wildcards, input: str(ROOT),
        config=lambda wildcards, input: CONFIG,
        codes=lambda wildcards, input: {
            script.stem: digest(script.stem) for script in (ROOT / "workflow/scripts").glob("*.py")
        },
        library=digest("describe_provenance"),
    message:
        "Write down where every artifact comes from"
    script:
        "../scripts/describe_provenance.py"
