"""The last words of a run: where everything is, or where the reason is why it stopped. Standard library alone."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path


def closing_words(places: Mapping[str, str], asked: Iterable[str]) -> str:
    """What a run ends with that made all it was asked for.

    places: what a person looks for → where it is, if it was made. asked: the places that the run was asked for by name;
    none where it was asked for everything.
    """
    asked = sorted(asked)
    if asked:
        return "\n".join(
            ["Done: what was asked for. Without a target the same command makes everything.", *_paths(asked)]
        )
    made = {name: place for name, place in places.items() if Path(place).exists()}
    width = max(map(len, made), default=0)
    lines = [f"  {name:{width}} {Path(place).resolve()}" for name, place in made.items()]
    return "\n".join(["Done. This is where everything is:", *lines])


def failure_words(logs: Iterable[str]) -> str:
    """What a run ends with that failed or was interrupted: the logs of the jobs concerned, and how to go on.

    logs: Snakemake's own logs of the run, which name them.
    """
    text = "\n".join(Path(log).read_text(encoding="utf-8", errors="replace") for log in logs)
    failed = dict.fromkeys(re.findall(r"^ +log: (.+) \(check log file\(s\) for error details\)$", text, re.MULTILINE))
    lines = ["The reason is above and in:", *_paths(failed)] if failed else []
    return "\n".join(["Stopped.", *lines, "Run the same command again to go on from here."])


def _paths(places: Iterable[str]) -> list[str]:
    return [f"  {Path(place).resolve()}" for place in places]
