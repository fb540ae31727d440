"""`maskmill reproduce`: run a finished experiment again and say whether the same bytes come out."""

import argparse
import logging
import os
from collections import Counter
from pathlib import Path

from maskmill.errors import MaskmillError

logger = logging.getLogger(__name__)


def add_reproduce_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `reproduce` to the command line."""
    parser = commands.add_parser(
        "reproduce", help="run a finished experiment again and compare the files", description=_reproduce.__doc__
    )
    parser.add_argument("path", type=Path, help="results/NAME, or results/NAME/experiments/EXPERIMENT")
    parser.add_argument("-o", "--output", type=Path, required=True, help="fresh folder for the run")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="cores for jobs (default: all)")
    parser.set_defaults(run=_reproduce)


def _reproduce(arguments: argparse.Namespace) -> int:
    """Run a finished experiment again in a fresh folder, from its record, and compare its files by their SHA-256.

    Code, options and threads are those of the record, pictures and annotations the same files; Snakemake and the
    packages are those that are installed. The table is in OUTPUT/reproduction.csv. Exit status 1 if a file differs
    that is promised to be the same.
    """
    from maskmill.provenance import reproduction

    finished = reproduction.find_finished(arguments.path)
    rows = reproduction.reproduce(finished, arguments.output, arguments.cores)
    verdicts = Counter(row["verdict"] for row in rows)
    for verdict, count in verdicts.most_common():
        logger.info("%6d %s", count, verdict)
    table = arguments.output / reproduction.TABLE
    wrong = [row for row in rows if row["verdict"] not in (reproduction.SAME, reproduction.FREE)]
    if not wrong:
        logger.info("%s is reproduced; the table is %s", arguments.path, table)
        return 0
    record = reproduction.read_record(finished.results)
    again = reproduction.read_record(arguments.output / "results" / record["dataset"])
    lines = [f"  - {row['file']}: {row['verdict']} (made by {row['rule'] or 'an unknown rule'})" for row in wrong]
    reasons = reproduction.explain_differences(record, again)
    why = "\n".join(f"  - {reason}" for reason in reasons) or (
        "  - nothing in environment, pins or pictures: `maskmill verify` tells whether files were changed since"
    )
    raise MaskmillError(
        f"{arguments.path} is not reproduced, see {table}:\n" + "\n".join(lines) + f"\nWhat differs besides:\n{why}"
    )
