"""Open labelme on the pictures of a data set. In: pictures, annotations, proposals. Out: annotations."""

from maskmill.annotating.session import annotate
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    annotate(
        source=snakemake.params.source,
        classes=snakemake.params.classes,
        background=snakemake.params.background,
        proposals=snakemake.params.proposals,
        workspace=snakemake.params.workspace,
        programs=snakemake.params.programs,
    )
