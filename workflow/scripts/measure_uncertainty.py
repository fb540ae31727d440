"""Measure how sure a member is of each case of a split, and whether that tells good masks from bad.

In: probabilities of the split, uint8 (K, D, H, W), operating_point.json, metrics of the split. Out: CSV, one row a
case: pixels that may be foreground, their mean entropy, confidence, IoU; JSON: risk–coverage curve, rank correlation,
the cases to look at; their entropy maps as 8-bit PNG.
"""

from maskmill.evaluation.uncertainty import measure_uncertainty
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    measure_uncertainty(
        probabilities=snakemake.input.probabilities,
        metrics=snakemake.input.metrics,
        point=snakemake.input.point,
        table=snakemake.output.table,
        curve=snakemake.output.curve,
        maps=snakemake.output.maps,
    )
