"""Probabilities, the operating point chosen on validation only, and masks; of members and of all of them together."""


rule predict_probabilities:
    input:
        models=trainings_of("<results>/runs/{experiment}/{member}/model.safetensors"),
        configs=trainings_of("<results>/runs/{experiment}/{member}/config.yaml"),
        samples="<results>/samples.csv",
        splits="<results>/splits.csv",
    output:
        probabilities=directory("<results>/runs/{experiment}/{member}/probabilities/{split}"),
    log:
        "<logs>/predict_probabilities/{experiment}/{member}/{split}.log",
    benchmark:
        "<benchmarks>/predict_probabilities/{experiment}/{member}/{split}.tsv"
    conda:
        TRAINING_ENVIRONMENT
    threads: compute_threads
    resources:
        mem_mb=memory("predict_probabilities"),
        runtime=minutes("predict_probabilities"),
        gpu=GPUS,
    params:
        tiling=lambda wildcards: options(wildcards, "predict")["predict"],
        library=digest("predict_probabilities"),
    message:
        "Predict the {wildcards.split} pictures with {wildcards.experiment}, {wildcards.member}"
    script:
        "../scripts/predict_probabilities.py"


rule choose_operating_point:
    input:
        probabilities="<results>/runs/{experiment}/{member}/probabilities/validation",
        labels=label_folders,
        samples="<results>/samples.csv",
        splits="<results>/splits.csv",
    output:
        point="<results>/runs/{experiment}/{member}/operating_point.json",
    log:
        "<logs>/choose_operating_point/{experiment}/{member}.log",
    benchmark:
        "<benchmarks>/choose_operating_point/{experiment}/{member}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("choose_operating_point"),
        runtime=minutes("choose_operating_point"),
    params:
        classes=CLASSES,
        folds=folds_of,
        postprocess=lambda wildcards: options(wildcards, "postprocess")["postprocess"],
        library=digest("choose_operating_point"),
    message:
        "Choose temperature, thresholds and steps of {wildcards.experiment}, {wildcards.member} on validation"
    script:
        "../scripts/choose_operating_point.py"


rule postprocess_masks:
    input:
        probabilities="<results>/runs/{experiment}/{member}/probabilities/{split}",
        point="<results>/runs/{experiment}/{member}/operating_point.json",
        samples="<results>/samples.csv",
    output:
        masks=directory("<results>/runs/{experiment}/{member}/masks/{split}"),
    log:
        "<logs>/postprocess_masks/{experiment}/{member}/{split}.log",
    benchmark:
        "<benchmarks>/postprocess_masks/{experiment}/{member}/{split}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("postprocess_masks"),
        runtime=minutes("postprocess_masks"),
    params:
        classes=CLASSES,
        library=digest("postprocess_masks"),
    message:
        "Decide the {wildcards.split} masks of {wildcards.experiment}, {wildcards.member}"
    script:
        "../scripts/postprocess_masks.py"
