"""From annotations to label images that can be trusted: index, rasterize, check, audit, split."""


checkpoint index_samples:
    input:
        demo=rules.generate_demo.output.folder if "demo" in CONFIG else [],
        table=split_table,
        retrieved=rules.retrieve_dataset.output.complete if "retrieve" in CONFIG else [],
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
        mem_mb=memory("index_samples"),
        runtime=minutes("index_samples"),
    params:
        source=SOURCE,
        labels=LABELS,
        split=GROUPING,
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
        mem_mb=memory("rasterize_labels"),
        runtime=minutes("rasterize_labels"),
    params:
        labels=LABELS,
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
        mem_mb=memory("collect_problems"),
        runtime=minutes("collect_problems"),
    params:
        classes=list(CLASSES),
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
    # a verdict is the same each time
    retries: 0
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("check_inputs"),
        runtime=minutes("check_inputs"),
    params:
        on_problem=CONFIG["dataset"]["on_problem"],
        library=digest("check_inputs"),
    message:
        "Stop here if pictures or annotations have problems"
    script:
        "../scripts/check_inputs.py"


# the audit goes first (priority): it helps to understand why a later gate stops the run
rule audit_labels:
    input:
        shard=shard_list,
        labels="<results>/labels/{shard}",
        # the gate only: a change in another shard must not audit this one again
        samples=ancient("<results>/samples.csv"),
    output:
        audit=directory("<results>/quality/shards/{shard}"),
    log:
        "<logs>/audit_labels/{shard}.log",
    benchmark:
        "<benchmarks>/audit_labels/{shard}.tsv"
    priority: 1
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("audit_labels"),
        runtime=minutes("audit_labels"),
    params:
        labels=LABELS,
        training=AUDIT,
        library=digest("audit_labels"),
    message:
        "Measure what the annotations of shard {wildcards.shard} lose"
    script:
        "../scripts/audit_labels.py"


rule summarize_audit:
    input:
        shards=audit_folders,
    output:
        audit=report("<results>/quality/audit.csv", caption="../report/audit.rst", category="Data"),
        objects="<results>/quality/objects.csv",
        summary="<results>/quality/summary.json",
    log:
        "<logs>/summarize_audit.log",
    benchmark:
        "<benchmarks>/summarize_audit.tsv"
    priority: 1
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("summarize_audit"),
        runtime=minutes("summarize_audit"),
    params:
        classes=CLASSES,
        training=AUDIT,
        library=digest("summarize_audit"),
    message:
        "Sum up losses, balance and faults of the labels"
    script:
        "../scripts/summarize_audit.py"


rule draw_sheets:
    input:
        samples="<results>/samples.csv",
        labels=label_folders,
        audit="<results>/quality/audit.csv",
        objects="<results>/quality/objects.csv",
    output:
        sheets=directory("<results>/quality/sheets"),
    log:
        "<logs>/draw_sheets.log",
    benchmark:
        "<benchmarks>/draw_sheets.tsv"
    priority: 1
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("draw_sheets"),
        runtime=minutes("draw_sheets"),
    params:
        classes=CLASSES,
        library=digest("draw_sheets"),
    message:
        "Draw pictures with their labels, worst first"
    script:
        "../scripts/draw_sheets.py"


rule render_audit:
    input:
        summary="<results>/quality/summary.json",
        sheets="<results>/quality/sheets",
        problems="<results>/problems.csv",
    output:
        page=report("<results>/quality/audit.html", caption="../report/audit_page.rst", category="Data"),
    log:
        "<logs>/render_audit.log",
    benchmark:
        "<benchmarks>/render_audit.tsv"
    priority: 1
    conda:
        "../../envs/imaging.yaml"
    threads: 1
    resources:
        mem_mb=memory("render_audit"),
        runtime=minutes("render_audit"),
    params:
        dataset=DATASET,
        classes=CLASSES,
        training=AUDIT,
        library=digest("render_audit"),
    message:
        "Write the audit's page"
    script:
        "../scripts/render_audit.py"
