"""From annotations to label images that can be trusted: index, rasterize, check, audit, split."""


checkpoint index_samples:
    input:
        demo=rules.generate_demo.output.folder if "demo" in CONFIG else [],
    output:
        manifest="<results>/manifest.csv",
        problems="<results>/index_problems.csv",
        shards=directory("<results>/shards"),
    log:
        "<logs>/index_samples.log",
    benchmark:
        "<benchmarks>/index_samples.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 4
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        source=SOURCE,
        group=CONFIG["dataset"]["split"]["group"],
        group_pattern=CONFIG["dataset"]["split"].get("pattern"),
        slabs=CONFIG["dataset"]["split"]["slabs"],
        # evaluated again when the job starts: in-place edits and files in nested folders are noticed
        files=lambda wildcards: source_digest(SOURCE),
        library=digest("index_samples"),
    message:
        "Pair pictures with annotations and deal them to shards"
    script:
        "../scripts/index_samples.py"


rule rasterize_labels:
    input:
        shard=shard_list,
    output:
        labels=directory("<results>/labels/{shard}"),
    log:
        "<logs>/rasterize_labels/{shard}.log",
    benchmark:
        "<benchmarks>/rasterize_labels/{shard}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        format=SOURCE["format"],
        classes=CLASSES,
        background=CONFIG["dataset"]["background"],
        library=digest("rasterize_labels"),
    message:
        "Draw the label images of shard {wildcards.shard}"
    script:
        "../scripts/rasterize_labels.py"


rule collect_problems:
    input:
        index="<results>/index_problems.csv",
        labels=label_folders,
    output:
        problems=report("<results>/problems.csv", caption="../report/problems.rst", category="Data"),
    log:
        "<logs>/collect_problems.log",
    benchmark:
        "<benchmarks>/collect_problems.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        library=digest("collect_problems"),
    message:
        "List every problem of pictures and annotations"
    script:
        "../scripts/collect_problems.py"


rule check_inputs:
    input:
        problems="<results>/problems.csv",
        manifest="<results>/manifest.csv",
    output:
        samples="<results>/samples.csv",
    log:
        "<logs>/check_inputs.log",
    benchmark:
        "<benchmarks>/check_inputs.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        on_problem=CONFIG["dataset"]["on_problem"],
        library=digest("check_inputs"),
    message:
        "Stop here if pictures or annotations have problems"
    script:
        "../scripts/check_inputs.py"


rule audit_labels:
    input:
        samples="<results>/samples.csv",
        labels=label_folders,
    output:
        audit=report("<results>/quality/audit.csv", caption="../report/audit.rst", category="Data"),
        overlays=directory("<results>/quality/overlays"),
    log:
        "<logs>/audit_labels.log",
    benchmark:
        "<benchmarks>/audit_labels.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        format=SOURCE["format"],
        classes=CLASSES,
        background=CONFIG["dataset"]["background"],
        library=digest("audit_labels"),
    message:
        "Measure what rasterising lost and draw overlays"
    script:
        "../scripts/audit_labels.py"


rule split_samples:
    input:
        samples="<results>/samples.csv",
        labels=label_folders,
    output:
        splits=report("<results>/splits.csv", caption="../report/splits.rst", category="Data"),
    log:
        "<logs>/split_samples.log",
    benchmark:
        "<benchmarks>/split_samples.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        test=CONFIG["dataset"]["split"]["test"],
        validation=CONFIG["dataset"]["split"]["validation"],
        folds=CONFIG["dataset"]["split"]["folds"],
        seed=CONFIG["dataset"]["split"]["seed"],
        library=digest("split_samples"),
    message:
        "Deal whole groups to training, validation and test"
    script:
        "../scripts/split_samples.py"
