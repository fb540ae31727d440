"""Write the audit's page. In: summary (JSON), folder of contact sheets, problems. Out: HTML beside that folder."""

from maskmill.audit.page import render_audit
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    render_audit(
        dataset=snakemake.params.dataset,
        classes=snakemake.params.classes,
        summary=snakemake.input.summary,
        sheets=snakemake.input.sheets,
        problems=snakemake.input.problems,
        training=snakemake.params.training,
        output=snakemake.output.page,
    )
