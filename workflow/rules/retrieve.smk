"""Pictures and annotations: drawn for the demo, the user's own otherwise."""

if "demo" in CONFIG:

    rule generate_demo:
        output:
            folder=directory(str(Path(SOURCE["images"]).parent)),
        log:
            "<logs>/generate_demo.log",
        benchmark:
            "<benchmarks>/generate_demo.tsv"
        conda:
            "../../envs/imaging.yaml"
        threads: 1
        resources:
            mem_mb=memory("generate_demo"),
            runtime=minutes("generate_demo"),
        params:
            options=CONFIG["demo"],
            library=digest("generate_demo"),
        message:
            "Draw the demo's scenes and their annotations"
        script:
            "../scripts/generate_demo.py"


if "retrieve" in CONFIG:

    rule retrieve_dataset:
        output:
            # inventory, pictures and partial downloads are no outputs: they must outlive a failed or repeated job
            complete=f"resources/{DATASET}/retrieved.txt",
        log:
            "<logs>/retrieve_dataset.log",
        benchmark:
            "<benchmarks>/retrieve_dataset.tsv"
        localrule: True
        conda:
            "../../envs/imaging.yaml"
        threads: 1
        resources:
            mem_mb=memory("retrieve_dataset"),
            runtime=minutes("retrieve_dataset"),
        params:
            folder=f"resources/{DATASET}",
            # apart: Snakemake prints in full what has changed, and that is mostly an address
            texts={key: CONFIG["retrieve"][key] for key in ("licence", "citation", "homepage", "manual")},
            files=CONFIG["retrieve"]["files"],
            indexes=CONFIG["retrieve"]["indexes"],
            library=digest("retrieve_dataset"),
        message:
            "Bring the data set {params.folder} in, under the licence in its LICENCE.txt"
        script:
            "../scripts/retrieve_dataset.py"
