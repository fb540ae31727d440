"""Annotating: `snakemake -- annotate_images` opens labelme; `snakemake -- preannotate` draws proposals to correct."""


rule annotate_images:
    input:
        demo=rules.generate_demo.output.folder if "demo" in CONFIG else [],
    log:
        "<logs>/annotate_images.log",
    localrule: True
    conda:
        "../../envs/labelme.yaml"
    threads: 1
    resources:
        mem_mb=memory("annotate_images"),
    params:
        source=TO_ANNOTATE,
        classes=CLASSES,
        background=CONFIG["dataset"]["background"],
        proposals=PROPOSALS,
        workspace=f"results/{DATASET}/annotating",
        programs=["labelme", (ROOT / ".labelme/bin/labelme").as_posix()],
    message:
        "Open labelme; what is saved there goes to the annotations of the data set"
    script:
        "../scripts/annotate_images.py"


rule propose_annotations:
    input:
        bundle=CONFIG["preannotate"]["bundle"] or f"<results>/experiments/{FIRST_EXPERIMENT}/bundle",
        images=lambda wildcards: list(pictures_to_propose()[wildcards.shard].values()),
    output:
        proposals=directory("<results>/proposed/{shard}"),
    log:
        "<logs>/propose_annotations/{shard}.log",
    benchmark:
        "<benchmarks>/propose_annotations/{shard}.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 2
    resources:
        mem_mb=memory("propose_annotations", pictures_to_propose_of),
        runtime=minutes("propose_annotations", pictures_to_propose_of),
    params:
        pictures=lambda wildcards: pictures_to_propose()[wildcards.shard],
        destination=PROPOSALS,
        spacing=CONFIG["quality"]["vertex_spacing"],
        library=digest("propose_annotations"),
    message:
        "Draw proposals for the pictures of shard {wildcards.shard}"
    script:
        "../scripts/propose_annotations.py"


rule preannotate:
    input:
        shards=proposal_folders,
    output:
        order=f"{PROPOSALS}/order.csv",
        failed=f"{PROPOSALS}/failed.csv",
    log:
        "<logs>/preannotate.log",
    benchmark:
        "<benchmarks>/preannotate.tsv"
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("preannotate"),
        runtime=minutes("preannotate"),
    params:
        library=digest("preannotate"),
    message:
        "Bring the proposals together; correct them with: snakemake --cores 1 -- annotate_images"
    script:
        "../scripts/preannotate.py"
