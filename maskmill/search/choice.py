"""The trial that a search comes to, and the table of all of them."""

import json
import logging
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from maskmill.errors import MaskmillError
from maskmill.files import read_json, write_table
from maskmill.search.options import write_options

logger = logging.getLogger(__name__)

COLUMNS = ("trial", "score", "chosen", "failed", "run_id")
"""Of the table of trials, before a column for each option."""


def choose_trial(scores: Sequence[str | PathLike], table: str | PathLike, chosen: str | PathLike) -> None:
    """Choose the trial with the best score, the first among equals, and write its options and the table of trials.

    scores: score.json of every trial. table: CSV, a row a trial (`COLUMNS`, and the options, text and lists as JSON).
    Raises MaskmillError where no trial has a score, with the reasons.
    """
    trials = [read_json(file) for file in scores]
    scored = [trial for trial in trials if trial["score"] is not None]
    if not scored:
        reasons = "\n".join(
            f"  - trial {t['trial']}: {t['failed'] or 'no validation picture has a class'}" for t in trials
        )
        raise MaskmillError(
            f"no trial has a score:\n{reasons}\nChange what the search tries, or remove {Path(scores[0]).parents[1]} "
            "to try again"
        )
    best = max(scored, key=lambda trial: trial["score"])
    rows = [
        {"trial": trial["trial"], "score": trial["score"], "chosen": int(trial is best), "failed": trial["failed"]}
        | {"run_id": trial["run_id"]}
        | {name: value if isinstance(value, str) else json.dumps(value) for name, value in trial["options"].items()}
        for trial in trials
    ]
    write_table(table, rows, (*COLUMNS, *best["options"]))
    write_options(chosen, best["options"])
    logger.info("trial %s of %d is chosen, score %s: %s", best["trial"], len(trials), best["score"], best["options"])
