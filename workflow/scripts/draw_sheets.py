"""Draw pictures with their labels, worst first. In: samples, label PNGs, audit tables. Out: a folder of JPEGs."""

from maskmill.audit.sheets import draw_sheets
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    draw_sheets(
        samples=snakemake.input.samples,
        label_dirs=snakemake.input.labels,
        audit=snakemake.input.audit,
        objects=snakemake.input.objects,
        classes=snakemake.params.classes,
        output=snakemake.output.sheets,
    )
