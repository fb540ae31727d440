"""Pictures and labels as memory-mapped arrays, and what the training split looks like."""


rule cache_samples:
    input:
        shard=shard_list,
        labels="<results>/labels/{shard}",
        # the gate only: a change in another shard must not cache this one again
        samples=ancient("<results>/samples.csv"),
    output:
        cache=directory("<results>/cache/{shard}"),
    log:
        "<logs>/cache_samples/{shard}.log",
    benchmark:
        "<benchmarks>/cache_samples/{shard}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("cache_samples"),
        runtime=minutes("cache_samples"),
    params:
        scale=CONFIG["preprocess"]["scale"],
        library=digest("cache_samples"),
    message:
        "Cache the pictures and labels of shard {wildcards.shard}"
    script:
        "../scripts/cache_samples.py"


rule fingerprint_dataset:
    input:
        cache=cache_folders,
        splits="<results>/splits.csv",
    output:
        fingerprint="<results>/fingerprint.json",
    log:
        "<logs>/fingerprint_dataset.log",
    benchmark:
        "<benchmarks>/fingerprint_dataset.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("fingerprint_dataset"),
        runtime=minutes("fingerprint_dataset"),
    params:
        classes=CLASSES,
        preprocess=CONFIG["preprocess"],
        library=digest("fingerprint_dataset"),
    message:
        "Measure intensities and classes of the training pictures"
    script:
        "../scripts/fingerprint_dataset.py"
