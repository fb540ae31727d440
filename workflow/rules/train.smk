"""The plan of a training, which a person may edit, and the training, tracked by MLflow.

State lives in runs/*/*/state, which Snakemake does not delete, so that a killed training resumes.
"""


rule plan_training:
    input:
        fingerprint="<results>/fingerprint.json",
        searched=searched,
    output:
        plan="<results>/experiments/{experiment}/plan/fold{fold}.yaml",
    log:
        "<logs>/plan_training/{experiment}/fold{fold}.log",
    benchmark:
        "<benchmarks>/plan_training/{experiment}/fold{fold}.tsv"
    # before trainings of other folds, so that plan_ensemble has all plans
    priority: 1
    conda:
        TRAINING_ENVIRONMENT
    threads: 1
    resources:
        mem_mb=memory("plan_training"),
        runtime=minutes("plan_training"),
    params:
        options=planning_options,
        fold=lambda wildcards: int(wildcards.fold),
        library=digest("plan_training"),
    message:
        "Plan the trainings of {wildcards.experiment}, fold {wildcards.fold}"
    script:
        "../scripts/plan_training.py"


rule plan_ensemble:
    input:
        fingerprint="<results>/fingerprint.json",
        plans=expand("<results>/experiments/{{experiment}}/plan/fold{fold}.yaml", fold=FOLDS),
        searched=searched,
    output:
        plan="<results>/experiments/{experiment}/plan/ensemble.json",
    log:
        "<logs>/plan_ensemble/{experiment}.log",
    benchmark:
        "<benchmarks>/plan_ensemble/{experiment}.tsv"
    # before the trainings, which would be in vain
    priority: 1
    conda:
        TRAINING_ENVIRONMENT
    threads: 1
    resources:
        mem_mb=memory("plan_ensemble"),
        runtime=minutes("plan_ensemble"),
    params:
        options=lambda wildcards: options(wildcards, "model", "loss", "train"),
        tiling=lambda wildcards: options(wildcards, "predict")["predict"],
        seed=CONFIG["seeds"][0],
        library=digest("plan_ensemble"),
    message:
        "Check that the folds of {wildcards.experiment} can be one model"
    script:
        "../scripts/plan_ensemble.py"


rule create_tracking_store:
    output:
        # a marker: the database itself changes with every run that is recorded
        marker="<results>/tracking_store.json",
    log:
        "<logs>/create_tracking_store.log",
    benchmark:
        "<benchmarks>/create_tracking_store.tsv"
    conda:
        TRAINING_ENVIRONMENT
    threads: 1
    resources:
        mem_mb=memory("create_tracking_store"),
        runtime=minutes("create_tracking_store"),
    params:
        uri=CONFIG["tracking"]["uri"],
    message:
        "Create the MLflow database once, before trainings could race for it"
    script:
        "../scripts/create_tracking_store.py"


rule train_model:
    input:
        cache=cache_folders,
        splits="<results>/splits.csv",
        fingerprint="<results>/fingerprint.json",
        plan=plan_of,
        searched=searched,
        store="<results>/tracking_store.json",
    output:
        model="<results>/runs/{experiment}/{member}/model.safetensors",
        config="<results>/runs/{experiment}/{member}/config.yaml",
        history="<results>/runs/{experiment}/{member}/history.csv",
        figure=report(
            "<results>/runs/{experiment}/{member}/training.png",
            caption="../report/training.rst",
            category="Training",
            labels={"experiment": "{experiment}", "member": "{member}"},
        ),
    log:
        "<logs>/train_model/{experiment}/{member}.log",
    benchmark:
        "<benchmarks>/train_model/{experiment}/{member}.tsv"
    wildcard_constraints:
        member=r"fold\d+-seed\d+",
    conda:
        TRAINING_ENVIRONMENT
    threads: training_cores
    resources:
        mem_mb=memory("train_model"),
        runtime=minutes("train_model"),
        gpu=training_gpus,
        gres=training_gres,
        nodes=training_nodes,
        tasks=training_tasks,
    params:
        options=training_options,
        classes=CLASSES,
        experiment="{experiment}",
        fold=fold_of,
        seed=seed_of,
        # functions of input or output are no reason to train again: these change no number
        state=lambda wildcards, input: state_folder("runs", wildcards.experiment, wildcards.member, "state"),
        tensorboard=lambda wildcards, output: str(Path(output.model).with_name("tensorboard")),
        workers=lambda wildcards, input: options(wildcards, "train")["train"]["workers"],
        tracking=lambda wildcards, input: {"uri": CONFIG["tracking"]["uri"], "experiment": DATASET},
        code=digest("train_model"),
    message:
        "Train {wildcards.experiment}, {wildcards.member}"
    script:
        "../scripts/train_model.py"
