"""Draw the demo data set. In: nothing. Out: folder of RGB pictures, labelme JSON (polygons in pixels), label list."""

from pathlib import Path

from maskmill.demo import generate_demo
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    generate_demo(Path(snakemake.output.folder), **snakemake.params.options)
