"""What every job of the workflow begins with."""

import os
import signal
from collections.abc import Iterable

from maskmill.files import remove_leftovers
from maskmill.lifeline import end_with_run
from maskmill.logs import configure_logging


def begin_job(log: str, outputs: Iterable[str | os.PathLike]) -> None:
    """Set up the log of a rule, see to it that the job ends tidily, and tidy up after those that did not.

    log, outputs: files of the rule. SIGTERM ends the job as Ctrl-C does, so that what is half written is removed; and
    it ends with its run. What killed jobs left beside the outputs goes.
    """
    configure_logging(log)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    end_with_run()
    for output in outputs:
        remove_leftovers(output)
