"""Batch inference: `snakemake -- segment` with segment.images in the config, over any folder of new pictures."""


def new_pictures():
    """Pictures of segment.images by shard, known while planning: {shard: {name: file}}."""
    if CONFIG["segment"]["images"] is None:
        return {}
    try:
        pictures = find_pictures([CONFIG["segment"]["images"]])
    except MaskmillError as error:
        sys.exit(str(error))
    count = shard_count(megapixels=0, samples=len(pictures))
    dealt = {}
    for name, file in pictures.items():
        dealt.setdefault(shard_of(name, count), {})[name] = file.as_posix()
    return dealt


NEW_PICTURES = new_pictures()


def segmented_folders(wildcards):
    if not NEW_PICTURES:
        raise WorkflowError("segment: say which pictures, with --config 'segment={images: FOLDER}' or in the config file")
    return expand("<results>/segmented/{shard}", shard=sorted(NEW_PICTURES))


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
        mem_mb=8000,
        runtime=240,
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
        mem_mb=500,
        runtime=10,
    params:
        library=digest("segment"),
    message:
        "List the pictures that have no mask; the masks are in the folders beside {output.failed}"
    script:
        "../scripts/segment.py"
