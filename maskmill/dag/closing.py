"""The last words of a run: where everything is, or where the reason is why it stopped. Standard library alone."""

import csv
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

KILLED = ("died with <Signals.SIGKILL: 9>", "returned non-zero exit status 137")
"""Snakemake's words on a script that was killed, itself or within a shell."""

FAILED_LOG = r"^ +log: (.+?)(?: \(send to storage\))? \(check log file\(s\) for error details\)$"
"""Snakemake's words on the log of a job that failed, on this machine or in an object store."""


def closing_words(places: Mapping[str, str], asked: Iterable[str], store: str = "") -> str:
    """What a run ends with that made all it was asked for.

    places: what a person looks for → where it is, if it was made. asked: the places that the run was asked for by name;
    none where it was asked for everything. store: where the results are in an object store, if they are in one.
    """
    if store:
        return "\n".join(["Done: what was asked for, in the object store below", *_paths([store])])
    asked = sorted(asked)
    if asked:
        return "\n".join(
            ["Done: what was asked for. Without a target the same command makes everything.", *_paths(asked)]
        )
    made = {name: place for name, place in places.items() if Path(place).exists()}
    width = max(map(len, made), default=0)
    lines = [f"  {name:{width}} {Path(place).resolve()}" for name, place in made.items()]
    return "\n".join(["Done. This is where everything is:", *lines])


def segmentation_words(masks: Path, table: Path, failed: Path) -> str:
    """How many new pictures have masks, and how many have none; the first of these with the reason.

    masks: the folder; table, failed: the tables of pictures with a mask and without one.
    """
    with open(table, encoding="utf-8", newline="") as file:
        made = sum(1 for _ in csv.DictReader(file))
    with open(failed, encoding="utf-8", newline="") as file:
        missing = list(csv.DictReader(file))
    lines = [f"Done: {made:,} of {_pictures(made + len(missing))} have their masks in", *_paths([masks])]
    if missing:
        first, verb = missing[0], "has" if len(missing) == 1 else "have"
        lines += [
            f"{_pictures(len(missing))} {verb} none. File, reason and remedy of each:",
            *_paths([failed]),
            f"The first is {first['file']}: {first['reason']}; {first['remedy']}.",
            "Run the same command again when the files are mended: finished pictures are not segmented again.",
        ]
    return "\n".join(lines)


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count:,} pictures"


def failure_words(logs: Iterable[str]) -> str:
    """What a run ends with that failed or was interrupted: the logs of the jobs concerned, and how to go on.

    logs: Snakemake's own logs of the run, which name them.
    """
    text = "\n".join(Path(log).read_text(encoding="utf-8", errors="replace") for log in logs)
    failed = dict.fromkeys(re.findall(FAILED_LOG, text, re.MULTILINE))
    lines = ["The reason is above and in:", *_paths(failed)] if failed else []
    return "\n".join(["Stopped.", *lines, *_killed(text), "Run the same command again to go on from here."])


def _killed(text: str) -> list[str]:
    """What to change where jobs were killed, of which their own logs say nothing; text: Snakemake's own logs."""
    rules = dict.fromkeys(re.findall(rf"\.(\w+)\.py' (?:{'|'.join(map(re.escape, KILLED))})", text))
    verb = "was" if len(rules) == 1 else "were"
    lines = [f"{', '.join(rules)} {verb} killed from outside, as systems do where memory runs out."] if rules else []
    if "train_model" in rules:
        input_plan = r"^Error in rule \w*train_model:\n(?: .*\n)*? +input: .*?([^\s,]+/plan/fold\d+\.yaml)"
        plans = dict.fromkeys(re.findall(input_plan, text, re.MULTILINE))
        lines += [
            "In `train`, halve batch_size and double accumulate, or take a smaller patch. What training takes, beside",
            "some 500 MB, is estimated under `memory` in:",
            *_paths(plans),
        ]
    return lines


def _paths(places: Iterable[str | Path]) -> list[str]:
    return [f"  {place if '://' in str(place) else Path(place).resolve()}" for place in places]
