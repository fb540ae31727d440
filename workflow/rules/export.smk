"""ONNX, the parity gate, and the bundle to deploy. An experiment deploys its best member, or all."""


rule export_onnx:
    input:
        models=deployed_trainings("<results>/runs/{{experiment}}/{member}/model.safetensors"),
        configs=deployed_trainings("<results>/runs/{{experiment}}/{member}/config.yaml"),
        plan=plan_of_ensemble,
    output:
        onnx="<results>/experiments/{experiment}/export/model.onnx",
    log:
        "<logs>/export_onnx/{experiment}.log",
    benchmark:
        "<benchmarks>/export_onnx/{experiment}.tsv"
    conda:
        TRAINING_ENVIRONMENT
    threads: 1
    resources:
        mem_mb=memory("export_onnx"),
        runtime=minutes("export_onnx"),
    params:
        library=digest("export_onnx"),
    message:
        "Export what {wildcards.experiment} deploys to ONNX"
    script:
        "../scripts/export_onnx.py"


rule export_half_onnx:
    input:
        models=deployed_trainings("<results>/runs/{{experiment}}/{member}/model.safetensors"),
        configs=deployed_trainings("<results>/runs/{{experiment}}/{member}/config.yaml"),
        plan=plan_of_ensemble,
    output:
        onnx="<results>/experiments/{experiment}/export/model.fp16.onnx",
    log:
        "<logs>/export_half_onnx/{experiment}.log",
    benchmark:
        "<benchmarks>/export_half_onnx/{experiment}.tsv"
    conda:
        TRAINING_ENVIRONMENT
    threads: 1
    resources:
        mem_mb=memory("export_half_onnx"),
        runtime=minutes("export_half_onnx"),
    params:
        library=digest("export_half_onnx"),
    message:
        "Export what {wildcards.experiment} deploys to ONNX in FP16"
    script:
        "../scripts/export_half_onnx.py"


rule quantize_onnx:
    input:
        onnx="<results>/experiments/{experiment}/export/model.onnx",
        configs=deployed_trainings("<results>/runs/{{experiment}}/{member}/config.yaml"),
        samples="<results>/samples.csv",
        splits="<results>/splits.csv",
    output:
        onnx="<results>/experiments/{experiment}/export/model.{quantisation}.onnx",
    log:
        "<logs>/quantize_onnx/{experiment}-{quantisation}.log",
    benchmark:
        "<benchmarks>/quantize_onnx/{experiment}-{quantisation}.tsv"
    wildcard_constraints:
        # TensorRT takes zero points of 0 alone, with which processors are slower and further from the model
        quantisation="int8|int8-symmetric",
    conda:
        TRAINING_ENVIRONMENT
    threads: 1
    resources:
        mem_mb=memory("quantize_onnx"),
        runtime=minutes("quantize_onnx"),
    params:
        tiling=lambda wildcards: options(wildcards, "predict")["predict"],
        cases=CONFIG["export"]["calibration_cases"],
        library=digest("quantize_onnx"),
    message:
        "Quantise the export of {wildcards.experiment} to INT8, by training pictures"
    script:
        "../scripts/quantize_onnx.py"


rule check_parity:
    input:
        onnx=EXPORTED,
        models=deployed_trainings("<results>/runs/{{experiment}}/{member}/model.safetensors"),
        configs=deployed_trainings("<results>/runs/{{experiment}}/{member}/config.yaml"),
        point=deployed("<results>/runs/{{experiment}}/{member}/operating_point.json"),
        labels=label_folders,
        samples="<results>/samples.csv",
        splits="<results>/splits.csv",
    output:
        verdict="<results>/experiments/{experiment}/export/parity.json",
        pictures=report(
            directory("<results>/experiments/{experiment}/export/parity"),
            patterns=["{artifact}.png"],
            caption="../report/parity.rst",
            category="Export",
            labels={"experiment": "{experiment}", "artifact": "{artifact}"},
        ),
    log:
        "<logs>/check_parity/{experiment}.log",
    benchmark:
        "<benchmarks>/check_parity/{experiment}.tsv"
    conda:
        TRAINING_ENVIRONMENT
    threads: compute_threads
    resources:
        mem_mb=memory("check_parity"),
        runtime=minutes("check_parity"),
    params:
        limits=CONFIG["export"]["limits"],
        artifacts=TRIED,
        tiling=lambda wildcards: options(wildcards, "predict")["predict"],
        library=digest("check_parity"),
    message:
        "Compare the exports of {wildcards.experiment} with PyTorch on whole validation pictures"
    script:
        "../scripts/check_parity.py"


rule benchmark_runtimes:
    input:
        onnx=EXPORTED,
        models=deployed_trainings("<results>/runs/{{experiment}}/{member}/model.safetensors"),
        configs=deployed_trainings("<results>/runs/{{experiment}}/{member}/config.yaml"),
        point=deployed("<results>/runs/{{experiment}}/{member}/operating_point.json"),
        parity="<results>/experiments/{experiment}/export/parity.json",
        engines=engine_files,
        engine_parity=engine_verdict,
        samples="<results>/samples.csv",
        splits="<results>/splits.csv",
    output:
        table=report(
            "<results>/experiments/{experiment}/export/runtimes.csv",
            caption="../report/runtimes.rst",
            category="Export",
            labels={"experiment": "{experiment}", "artifact": "runtimes"},
        ),
    log:
        "<logs>/benchmark_runtimes/{experiment}.log",
    benchmark:
        "<benchmarks>/benchmark_runtimes/{experiment}.tsv"
    conda:
        ENGINE_ENVIRONMENT
    threads: compute_threads
    resources:
        mem_mb=memory("benchmark_runtimes"),
        runtime=minutes("benchmark_runtimes"),
        gpu=1 if ENGINES else GPUS,
    params:
        tiling=lambda wildcards: options(wildcards, "predict")["predict"],
        artifacts=TRIED,
        engines=ENGINES,
        library=digest("benchmark_runtimes"),
    message:
        "Time the runtimes of {wildcards.experiment} on one tile and one picture"
    script:
        "../scripts/benchmark_runtimes.py"


rule build_tensorrt_engine:
    input:
        onnx=ENGINE_SOURCES,
        models=deployed_trainings("<results>/runs/{{experiment}}/{member}/model.safetensors"),
        configs=deployed_trainings("<results>/runs/{{experiment}}/{member}/config.yaml"),
        point=deployed("<results>/runs/{{experiment}}/{member}/operating_point.json"),
        labels=label_folders,
        samples="<results>/samples.csv",
        splits="<results>/splits.csv",
    output:
        engines=[file.replace(".onnx", ".engine") for file in EXPORTED],
        tags=[file.replace(".onnx", ".engine.json") for file in EXPORTED],
        verdict="<results>/experiments/{experiment}/export/engine_parity.json",
        pictures=report(
            directory("<results>/experiments/{experiment}/export/engine_parity"),
            patterns=["{artifact}.png"],
            caption="../report/parity.rst",
            category="Export",
            labels={"experiment": "{experiment}", "artifact": "{artifact}"},
        ),
    log:
        "<logs>/build_tensorrt_engine/{experiment}.log",
    benchmark:
        "<benchmarks>/build_tensorrt_engine/{experiment}.tsv"
    conda:
        ENGINE_ENVIRONMENT
    threads: compute_threads
    resources:
        mem_mb=memory("build_tensorrt_engine"),
        runtime=minutes("build_tensorrt_engine"),
        gpu=1,
    params:
        limits=CONFIG["export"]["limits"],
        precisions=ENGINES,
        tiling=lambda wildcards: options(wildcards, "predict")["predict"],
        # a function of output is no reason to build again: kept times change how long building takes
        timings=lambda wildcards, output: str(Path(output.verdict).parents[2] / "tensorrt_timings"),
        library=digest("build_tensorrt_engine"),
    message:
        "Build the TensorRT engines of {wildcards.experiment} and compare them with PyTorch"
    script:
        "../scripts/build_tensorrt_engine.py"


rule pack_bundle:
    input:
        onnx=EXPORTED,
        engines=engine_files,
        parity="<results>/experiments/{experiment}/export/parity.json",
        engine_parity=engine_verdict,
        summary="<results>/experiments/{experiment}/summary.json",
        models=deployed_trainings("<results>/runs/{{experiment}}/{member}/model.safetensors"),
        configs=deployed_trainings("<results>/runs/{{experiment}}/{member}/config.yaml"),
        point=deployed("<results>/runs/{{experiment}}/{member}/operating_point.json"),
        splits="<results>/splits.csv",
        fingerprint="<results>/fingerprint.json",
    output:
        bundle=directory("<results>/experiments/{experiment}/bundle"),
    log:
        "<logs>/pack_bundle/{experiment}.log",
    benchmark:
        "<benchmarks>/pack_bundle/{experiment}.tsv"
    # a verdict is the same each time
    retries: 0
    conda:
        TRAINING_ENVIRONMENT
    threads: 1
    resources:
        mem_mb=memory("pack_bundle"),
        runtime=minutes("pack_bundle"),
    params:
        tiling=lambda wildcards: options(wildcards, "predict")["predict"],
        library=digest("pack_bundle"),
    message:
        "Pack the bundle of {wildcards.experiment}, if its export is equal to the model and no test picture helped"
    script:
        "../scripts/pack_bundle.py"


rule register_bundle:
    input:
        bundle="<results>/experiments/{experiment}/bundle",
    output:
        # a marker: the database itself changes with every run that is recorded
        registered="<results>/experiments/{experiment}/registered.json",
    log:
        "<logs>/register_bundle/{experiment}.log",
    benchmark:
        "<benchmarks>/register_bundle/{experiment}.tsv"
    conda:
        TRAINING_ENVIRONMENT
    threads: 1
    resources:
        mem_mb=memory("register_bundle"),
        runtime=minutes("register_bundle"),
    params:
        model=f"{CONFIG['tracking']['registry']}-{{experiment}}",
        # functions of the input are no reason to register again: neither changes a bundle
        experiment=lambda wildcards, input: DATASET,
        uri=lambda wildcards, input: CONFIG["tracking"]["uri"],
        library=digest("register_bundle"),
    message:
        "Register the bundle of {wildcards.experiment} as a model of MLflow"
    script:
        "../scripts/register_bundle.py"
