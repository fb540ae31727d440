"""Compare labels with annotations. In: samples, label PNGs. Out: a table (objects, areas in pixels), overlay PNGs."""

from maskmill.audit import audit_labels
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    audit_labels(
        samples=snakemake.input.samples,
        label_dirs=snakemake.input.labels,
        source_format=snakemake.params.format,
        classes=snakemake.params.classes,
        background=snakemake.params.background,
        output=snakemake.output.audit,
        overlays_dir=snakemake.output.overlays,
    )
