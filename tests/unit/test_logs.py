"""What a log file begins with."""

import platform
import subprocess
import sys

PROGRAM = """
import logging, sys
from maskmill.logs import configure_logging
configure_logging(sys.argv[1])
logging.info("hello")
"""


def test_a_log_begins_with_the_python_that_writes_it_and_its_environment(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "logs/a.log"], check=True, capture_output=True, text=True
    )

    first, second = (tmp_path / "logs/a.log").read_text(encoding="utf-8").splitlines()
    assert first == f"Python {platform.python_version()} in {sys.prefix}"
    assert second.endswith("INFO hello")
    assert "Python" not in done.stderr  # the terminal is for the person
