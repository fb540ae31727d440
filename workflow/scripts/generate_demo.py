"""Draw the demo data set. In: nothing. Out: folder of RGB pictures, labelme JSON (polygons in pixels), label list."""

from pathlib import Path

from maskmill.demo import generate_demo
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    generate_demo(Path(snakemake.output.folder), **snakemake.params.options)
