"""Which samples train, validate and test, and the gate that no part shows what another part shows."""

SPLIT = CONFIG["dataset"]["split"]


rule hash_pictures:
    input:
        shard=shard_list,
    output:
        hashes="<results>/hashes/{shard}.npz",
    log:
        "<logs>/hash_pictures/{shard}.log",
    benchmark:
        "<benchmarks>/hash_pictures/{shard}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("hash_pictures"),
        runtime=minutes("hash_pictures"),
    params:
        library=digest("hash_pictures"),
    message:
        "Describe the looks of the pictures of shard {wildcards.shard}"
    script:
        "../scripts/hash_pictures.py"


rule compare_pictures:
    input:
        samples="<results>/samples.csv",
        hashes=hash_files,
    output:
        pairs="<results>/quality/similar.csv",
    log:
        "<logs>/compare_pictures.log",
    benchmark:
        "<benchmarks>/compare_pictures.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 4
    resources:
        mem_mb=memory("compare_pictures"),
        runtime=minutes("compare_pictures"),
    params:
        library=digest("compare_pictures"),
    message:
        "Find the pictures that show the same"
    script:
        "../scripts/compare_pictures.py"


rule split_samples:
    input:
        samples="<results>/samples.csv",
        labels=label_folders,
        table=SPLIT.get("table") if SPLIT["official"] == "table" else [],
        pairs="<results>/quality/similar.csv" if SPLIT["on_leak"] == "merge" else [],
    output:
        splits="<results>/quality/proposed_splits.csv",
    log:
        "<logs>/split_samples.log",
    benchmark:
        "<benchmarks>/split_samples.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("split_samples"),
        runtime=minutes("split_samples"),
    params:
        split={key: SPLIT[key] for key in ("test", "validation", "folds", "seed", "official", "group", "buffer")},
        classes=list(CLASSES),
        page=lambda wildcards, output: str(Path(output.splits).with_name("audit.html")),
        library=digest("split_samples"),
    message:
        "Deal whole groups to training, validation and test"
    script:
        "../scripts/split_samples.py"


rule detect_leaks:
    input:
        splits="<results>/quality/proposed_splits.csv",
        pairs="<results>/quality/similar.csv",
    output:
        leaks="<results>/quality/leaks.csv",
    log:
        "<logs>/detect_leaks.log",
    benchmark:
        "<benchmarks>/detect_leaks.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("detect_leaks"),
        runtime=minutes("detect_leaks"),
    params:
        dealing={key: SPLIT[key] for key in ("group", "buffer", "on_leak")},
        library=digest("detect_leaks"),
    message:
        "Look for samples of different parts that show the same"
    script:
        "../scripts/detect_leaks.py"


rule draw_leaks:
    input:
        leaks="<results>/quality/leaks.csv",
        samples="<results>/samples.csv",
        splits="<results>/quality/proposed_splits.csv",
    output:
        page=report(
            directory("<results>/quality/leaks"),
            htmlindex="index.html",
            caption="../report/leaks.rst",
            category="Data",
        ),
    log:
        "<logs>/draw_leaks.log",
    benchmark:
        "<benchmarks>/draw_leaks.tsv"
    # before the gate, which may stop the run; how the page looks decides nothing, hence it is no input of the gate
    priority: 1
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("draw_leaks"),
        runtime=minutes("draw_leaks"),
    params:
        dataset=DATASET,
        library=digest("draw_leaks"),
    message:
        "Show the leaks as pictures"
    script:
        "../scripts/draw_leaks.py"


rule check_leaks:
    input:
        splits="<results>/quality/proposed_splits.csv",
        leaks="<results>/quality/leaks.csv",
    output:
        splits=report("<results>/splits.csv", caption="../report/splits.rst", category="Data"),
    log:
        "<logs>/check_leaks.log",
    benchmark:
        "<benchmarks>/check_leaks.tsv"
    # a verdict is the same each time
    retries: 0
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("check_leaks"),
        runtime=minutes("check_leaks"),
    params:
        page=lambda wildcards, input: str(Path(input.leaks).with_suffix("")),
        on_leak=SPLIT["on_leak"],
        library=digest("check_leaks"),
    message:
        "Stop here if the test would show what was trained on; see {params.page}/index.html"
    script:
        "../scripts/check_leaks.py"
