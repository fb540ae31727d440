"""The search for options of an experiment: trials on validation pictures, of which the best gives the options.

Names of trials are known while planning, what they try is in files: no checkpoint, so that the plan is always whole.
"""


rule suggest_trial:
    input:
        scores=earlier_scores,
    output:
        options="<results>/experiments/{experiment}/search/{trial}/options.yaml",
    log:
        "<logs>/suggest_trial/{experiment}/{trial}.log",
    benchmark:
        "<benchmarks>/suggest_trial/{experiment}/{trial}.tsv"
    conda:
        TRAINING_ENVIRONMENT
    threads: 1
    resources:
        mem_mb=memory("suggest_trial"),
        runtime=minutes("suggest_trial"),
    params:
        # without the number of trials, so that more of them leave those there are as they are
        search=lambda wildcards: {name: SEARCHES[wildcards.experiment][name] for name in ("options", "seed")},
        place=lambda wildcards: (int(wildcards.trial) - 1) % SEARCHES[wildcards.experiment]["parallel"],
        library=digest("suggest_trial"),
    message:
        "Suggest options for trial {wildcards.trial} of {wildcards.experiment}"
    script:
        "../scripts/suggest_trial.py"


rule run_trial:
    input:
        tried="<results>/experiments/{experiment}/search/{trial}/options.yaml",
        cache=cache_folders,
        labels=label_folders,
        samples="<results>/samples.csv",
        splits="<results>/splits.csv",
        fingerprint="<results>/fingerprint.json",
        store="<results>/tracking_store.json",
    output:
        score="<results>/experiments/{experiment}/search/{trial}/score.json",
    log:
        "<logs>/run_trial/{experiment}/{trial}.log",
    benchmark:
        "<benchmarks>/run_trial/{experiment}/{trial}.tsv"
    conda:
        TRAINING_ENVIRONMENT
    threads: training_cores
    resources:
        mem_mb=memory("run_trial"),
        runtime=minutes("run_trial"),
        gpu=training_gpus,
        gres=training_gres,
        nodes=training_nodes,
        tasks=training_tasks,
    params:
        options=training_options,
        tiling=lambda wildcards: options(wildcards, "predict")["predict"],
        postprocess=lambda wildcards: options(wildcards, "postprocess")["postprocess"],
        classes=CLASSES,
        seed=CONFIG["seeds"][0],
        # functions of input or output are no reason to train again: these change no number
        folder=lambda wildcards, output: str(Path(output.score).with_name("run")),
        workers=lambda wildcards, input: options(wildcards, "train")["train"]["workers"],
        tracking=lambda wildcards, input: {"uri": CONFIG["tracking"]["uri"], "experiment": DATASET},
        # what weights follow from: with other code to score by, a trial is scored again, not trained
        code=digest("train_model"),
        library=digest("run_trial"),
    message:
        "Try what was suggested for trial {wildcards.trial} of {wildcards.experiment}, on validation"
    script:
        "../scripts/run_trial.py"


rule choose_trial:
    input:
        scores=all_scores,
    output:
        table=report(
            "<results>/experiments/{experiment}/search/trials.csv",
            caption="../report/trials.rst",
            category="Search",
            labels={"experiment": "{experiment}"},
        ),
        chosen="<results>/experiments/{experiment}/search/chosen.yaml",
    log:
        "<logs>/choose_trial/{experiment}.log",
    benchmark:
        "<benchmarks>/choose_trial/{experiment}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("choose_trial"),
        runtime=minutes("choose_trial"),
    params:
        library=digest("choose_trial"),
    message:
        "Choose the options of {wildcards.experiment} among those tried"
    script:
        "../scripts/choose_trial.py"
