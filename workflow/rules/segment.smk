"""Batch inference: `snakemake -- segment` with segment.images in the config, over any folder of new pictures."""


rule segment_images:
    input:
        bundle=CONFIG["segment"]["bundle"] or f"<results>/experiments/{FIRST_EXPERIMENT}/bundle",
        images=lambda wildcards: list(NEW_PICTURES[wildcards.shard].values()),
    output:
        masks=directory("<results>/segmented/{shard}"),
    log:
        "<logs>/segment_images/{shard}.log",
    benchmark:
        "<benchmarks>/segment_images/{shard}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 2
    resources:
        mem_mb=memory("segment_images", new_pictures_of),
        runtime=minutes("segment_images", new_pictures_of),
    params:
        pictures=lambda wildcards: NEW_PICTURES[wildcards.shard],
        library=digest("segment_images"),
    message:
        "Segment the new pictures of shard {wildcards.shard}"
    script:
        "../scripts/segment_images.py"


rule segment:
    input:
        masks=segmented_folders,
    output:
        failed="<results>/segmented/failed.csv",
    log:
        "<logs>/segment.log",
    benchmark:
        "<benchmarks>/segment.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("segment"),
        runtime=minutes("segment"),
    params:
        library=digest("segment"),
    message:
        "List the pictures that have no mask; the masks are in the folders beside {output.failed}"
    script:
        "../scripts/segment.py"
