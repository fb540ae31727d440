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
            mem_mb=1000,
            runtime=5,
        params:
            options=CONFIG["demo"],
            library=digest("generate_demo"),
        message:
            "Draw the demo's scenes and their annotations"
        script:
            "../scripts/generate_demo.py"
