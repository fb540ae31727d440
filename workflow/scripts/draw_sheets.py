"""Draw pictures with their labels, worst first. In: samples, label PNGs, audit tables. Out: a folder of JPEGs."""

from maskmill.audit.sheets import draw_sheets
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    draw_sheets(
        samples=snakemake.input.samples,
        label_dirs=snakemake.input.labels,
        audit=snakemake.input.audit,
        objects=snakemake.input.objects,
        classes=snakemake.params.classes,
        output=snakemake.output.sheets,
    )
