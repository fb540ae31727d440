"""Batch inference: `snakemake -- segment` with segment.images in the config, over any folder of new pictures.

What is finished lies in segmented/state, which Snakemake does not delete, so that a killed shard goes on.
"""


rule segment_images:
    input:
        bundle=bundle_to_segment_with(),
        card=given_card(),
    output:
        shard=directory("<results>/segmented/shards/{shard}"),
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
        # no inputs: Snakemake takes braces in their names for wildcards, and looks for inputs in an object store
        pictures=lambda wildcards: new_pictures()[wildcards.shard].files,
        changes=lambda wildcards: new_pictures()[wildcards.shard].digest,
        state=lambda wildcards, input: state_folder("segmented", "state", wildcards.shard),
        library=digest("segment_images"),
    message:
        "Segment the new pictures of shard {wildcards.shard}"
    script:
        "../scripts/segment_images.py"


rule segment:
    input:
        shards=segmented_folders,
    output:
        masks=directory("<results>/segmented/masks"),
        table="<results>/segmented/masks.csv",
        failed="<results>/segmented/failed.csv",
        uncertainty="<results>/segmented/uncertainty.csv",
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
        "Bring the masks together in {output.masks}; pictures without one are listed in {output.failed}"
    script:
        "../scripts/segment.py"
