"""Metrics per picture and class, intervals, and the comparison of experiments."""


rule evaluate_masks:
    input:
        masks="<results>/runs/{experiment}/{member}/masks/{split}",
        labels=label_folders,
        samples="<results>/samples.csv",
        splits="<results>/splits.csv",
    output:
        metrics="<results>/runs/{experiment}/{member}/metrics/{split}.csv",
    log:
        "<logs>/evaluate_masks/{experiment}/{member}/{split}.log",
    benchmark:
        "<benchmarks>/evaluate_masks/{experiment}/{member}/{split}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("evaluate_masks"),
        runtime=minutes("evaluate_masks"),
    params:
        classes=CLASSES,
        fold=fold_of,
        split="{split}",
        tolerance=CONFIG["evaluate"]["boundary_tolerance"],
        library=digest("evaluate_masks"),
    message:
        "Measure the {wildcards.split} masks of {wildcards.experiment}, {wildcards.member}"
    script:
        "../scripts/evaluate_masks.py"


rule evaluate_extra:
    input:
        masks="<results>/runs/{experiment}/{member}/masks/{split}",
        probabilities="<results>/runs/{experiment}/{member}/probabilities/{split}",
        labels=label_folders,
        samples="<results>/samples.csv",
        splits="<results>/splits.csv",
        point="<results>/runs/{experiment}/{member}/operating_point.json",
    output:
        metrics="<results>/runs/{experiment}/{member}/metrics/extra_{split}.csv",
        pooled="<results>/runs/{experiment}/{member}/metrics/extra_{split}.json",
    log:
        "<logs>/evaluate_extra/{experiment}/{member}/{split}.log",
    benchmark:
        "<benchmarks>/evaluate_extra/{experiment}/{member}/{split}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("evaluate_extra"),
        runtime=minutes("evaluate_extra"),
    params:
        classes=CLASSES,
        fold=fold_of,
        split="{split}",
        extra=CONFIG["evaluate"]["extra"],
        instances=CONFIG["dataset"]["instances"],
        library=digest("evaluate_extra"),
    message:
        "Measure what the task asks for on the {wildcards.split} masks of {wildcards.experiment}, {wildcards.member}"
    script:
        "../scripts/evaluate_extra.py"


rule measure_seams:
    input:
        probabilities="<results>/runs/{experiment}/{member}/probabilities/{split}",
        masks="<results>/runs/{experiment}/{member}/masks/{split}",
        labels=label_folders,
        samples="<results>/samples.csv",
        splits="<results>/splits.csv",
        configs=trainings_of("<results>/runs/{experiment}/{member}/config.yaml"),
    output:
        seams="<results>/runs/{experiment}/{member}/seams/{split}.csv",
    log:
        "<logs>/measure_seams/{experiment}/{member}/{split}.log",
    benchmark:
        "<benchmarks>/measure_seams/{experiment}/{member}/{split}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("measure_seams"),
        runtime=minutes("measure_seams"),
    params:
        split="{split}",
        tiling=lambda wildcards: options(wildcards, "predict")["predict"],
        library=digest("measure_seams"),
    message:
        "Measure errors near borders of tiles of {wildcards.experiment}, {wildcards.member}"
    script:
        "../scripts/measure_seams.py"


rule measure_uncertainty:
    input:
        probabilities="<results>/runs/{experiment}/{member}/probabilities/{split}",
        metrics="<results>/runs/{experiment}/{member}/metrics/{split}.csv",
        point="<results>/runs/{experiment}/{member}/operating_point.json",
    output:
        table="<results>/runs/{experiment}/{member}/uncertainty/{split}.csv",
        curve="<results>/runs/{experiment}/{member}/uncertainty/{split}.json",
        maps=directory("<results>/runs/{experiment}/{member}/uncertainty/{split}"),
    log:
        "<logs>/measure_uncertainty/{experiment}/{member}/{split}.log",
    benchmark:
        "<benchmarks>/measure_uncertainty/{experiment}/{member}/{split}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("measure_uncertainty"),
        runtime=minutes("measure_uncertainty"),
    params:
        library=digest("measure_uncertainty"),
    message:
        "Measure how sure {wildcards.experiment}, {wildcards.member} is of the {wildcards.split} pictures"
    script:
        "../scripts/measure_uncertainty.py"


checkpoint summarize_experiment:
    input:
        configs=members_of("<results>/runs/{experiment}/{member}/config.yaml"),
        histories=members_of("<results>/runs/{experiment}/{member}/history.csv"),
        validation=members_of("<results>/runs/{experiment}/{member}/metrics/validation.csv"),
        test=members_of("<results>/runs/{experiment}/{member}/metrics/test.csv"),
        extra=extra_of_members("<results>/runs/{experiment}/{member}/metrics/extra_test.csv"),
        pooled=extra_of_members("<results>/runs/{experiment}/{member}/metrics/extra_test.json"),
        ensemble=of_ensemble("<results>/runs/{{experiment}}/{member}/metrics/test.csv"),
        ensemble_extra=extra_of_ensemble("<results>/runs/{{experiment}}/{member}/metrics/extra_test.csv"),
        ensemble_pooled=extra_of_ensemble("<results>/runs/{{experiment}}/{member}/metrics/extra_test.json"),
    output:
        summary="<results>/experiments/{experiment}/summary.json",
    log:
        "<logs>/summarize_experiment/{experiment}.log",
    benchmark:
        "<benchmarks>/summarize_experiment/{experiment}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("summarize_experiment"),
        runtime=minutes("summarize_experiment"),
    params:
        experiment="{experiment}",
        members=MEMBERS,
        tolerance=CONFIG["evaluate"]["boundary_tolerance"],
        library=digest("summarize_experiment"),
    message:
        "Summarise {wildcards.experiment} over folds and seeds"
    script:
        "../scripts/summarize_experiment.py"


rule record_results:
    input:
        configs=members_of("<results>/runs/{experiment}/{member}/config.yaml"),
        validation=members_of("<results>/runs/{experiment}/{member}/metrics/validation.csv"),
        test=members_of("<results>/runs/{experiment}/{member}/metrics/test.csv"),
        extra=extra_of_members("<results>/runs/{experiment}/{member}/metrics/extra_test.csv"),
        ensemble_point=of_ensemble("<results>/runs/{{experiment}}/{member}/operating_point.json"),
        ensemble_test=of_ensemble("<results>/runs/{{experiment}}/{member}/metrics/test.csv"),
        ensemble_extra=extra_of_ensemble("<results>/runs/{{experiment}}/{member}/metrics/extra_test.csv"),
    output:
        recorded="<results>/experiments/{experiment}/recorded.json",
    log:
        "<logs>/record_results/{experiment}.log",
    benchmark:
        "<benchmarks>/record_results/{experiment}.tsv"
    conda:
        TRAINING_ENVIRONMENT
    threads: 1
    resources:
        mem_mb=memory("record_results"),
        runtime=minutes("record_results"),
    params:
        # a function of the input is no reason to run again: where MLflow lives changes no number
        uri=lambda wildcards, input: CONFIG["tracking"]["uri"],
        library=digest("record_results"),
    message:
        "Bring the results of {wildcards.experiment} to MLflow"
    script:
        "../scripts/record_results.py"


rule compare_experiments:
    input:
        samples="<results>/samples.csv",
        labels=label_folders,
        summaries=expand("<results>/experiments/{experiment}/summary.json", experiment=EXPERIMENTS),
        # the exported models are timed here too, in seconds, so that the page always says what an experiment costs
        runtimes=expand("<results>/experiments/{experiment}/export/runtimes.csv", experiment=EXPERIMENTS),
        plans=PLANS,
        configs=expand("<results>/runs/{experiment}/{member}/config.yaml", experiment=EXPERIMENTS, member=MEMBERS),
        histories=expand("<results>/runs/{experiment}/{member}/history.csv", experiment=EXPERIMENTS, member=MEMBERS),
        metrics=expand("<results>/runs/{experiment}/{member}/metrics/test.csv", experiment=EXPERIMENTS, member=MEMBERS),
        masks=expand("<results>/runs/{experiment}/{member}/masks/test", experiment=EXPERIMENTS, member=MEMBERS),
        ensemble_metrics=of_ensembles("<results>/runs/{experiment}/{member}/metrics/test.csv"),
        ensemble_masks=of_ensembles("<results>/runs/{experiment}/{member}/masks/test"),
        ensemble_points=of_ensembles("<results>/runs/{experiment}/{member}/operating_point.json"),
        extra=extra_of_deployed("<results>/runs/{experiment}/{member}/metrics/extra_test.csv"),
    output:
        table="<results>/comparison.csv",
        page=report("<results>/comparison.html", caption="../report/comparison.rst", category="Comparison"),
    log:
        "<logs>/compare_experiments.log",
    benchmark:
        "<benchmarks>/compare_experiments.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("compare_experiments"),
        runtime=minutes("compare_experiments"),
    params:
        classes=CLASSES,
        experiments=EXPERIMENTS,
        members=MEMBERS,
        library=digest("compare_experiments"),
    message:
        "Compare the experiments"
    script:
        "../scripts/compare_experiments.py"
