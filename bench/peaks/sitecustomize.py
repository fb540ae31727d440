"""Writes the true peak of every Python process of a run; put this folder on PYTHONPATH, and a folder into PEAKS.

Snakemake's `benchmark:` looks at a job twice a second for its first quarter of a minute and every half minute then, so
that short peaks are missed. Each process leaves PEAKS/<pid>-<time>.json as it ends: script, and the greatest resident
set in MiB, of Linux. Python imports a module of this name by itself; processes that are killed leave nothing.
"""

import os

if os.environ.get("PEAKS"):
    import atexit
    import json
    import sys
    import time
    from pathlib import Path

    def _leave_peak() -> None:
        status = Path("/proc/self/status").read_text()
        kilobytes = int(status.partition("VmHWM:")[2].split()[0])
        script = sys.argv[0] if getattr(sys, "argv", None) else ""
        target = Path(os.environ["PEAKS"], f"{os.getpid()}-{time.time_ns()}.json")
        target.write_text(json.dumps({"script": script, "mebibytes": kilobytes / 2**10}))

    atexit.register(_leave_peak)
