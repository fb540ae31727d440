"""Open labelme on the pictures of a data set. In: pictures, annotations, proposals. Out: annotations."""

from maskmill.annotating.session import annotate
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    annotate(
        source=snakemake.params.source,
        classes=snakemake.params.classes,
        background=snakemake.params.background,
        proposals=snakemake.params.proposals,
        workspace=snakemake.params.workspace,
        programs=snakemake.params.programs,
    )
