"""A run as an RO-Crate: its record in the words of the Provenance Run Crate profile.

The results folder is the crate; its workflow is the copy of the code in it. Folders that a rule makes are data sets
without a list of their files, which the record has. Pictures and annotations lie outside and are one collection.

References
----------
.. [1] S. Leo et al., "Recording provenance of workflow runs with RO-Crate", PLOS ONE 19(9), e0309210, 2024;
       https://w3id.org/ro/wfrun/provenance/0.5
.. [2] RO-Crate 1.1, https://w3id.org/ro/crate/1.1
"""

import json
import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from maskmill.provenance.stability import CODE, CRATE, RECORD

Entity = dict[str, Any]

CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
WORKFLOW = f"{CODE}/Snakefile"
SOURCES = "#sources"
APACHE = "https://spdx.org/licenses/Apache-2.0"
SNAKEMAKE = "#snakemake"
LANGUAGE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
_BIOSCHEMAS = "https://bioschemas.org/profiles"
_KINDS = {bool: "Boolean", int: "Integer", float: "Float"}


def make_crate(record: Mapping[str, Any]) -> dict[str, Any]:
    """The content of ro-crate-metadata.json for a record (see `maskmill.provenance.record`); equal for equal records.

    Where the record has no jobs, the crate tells of the run as a whole alone.
    """
    return {"@context": CONTEXT, "@graph": list(_Crate(record).entities())}


class _Crate:
    """Entities of a crate, made from one record."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.record = record
        self.jobs: Sequence[Mapping[str, Any]] = record["jobs"]
        self.rules = list(dict.fromkeys(job["rule"] for job in self.jobs))
        self.prefix = f"results/{record['dataset']}/"
        self.config = json.loads(record["config"])
        self.options = dict(_leaves(self.config))

    def entities(self) -> Iterator[Entity]:
        """Every entity, the root first."""
        data = [*self._data(), *self._own()]
        yield from self._root(data)
        yield self._workflow()
        yield from self._tools()
        yield from self._parameters()
        yield from data
        yield self._sources()
        yield from self._run()
        yield from self._environment()

    def _root(self, data: Sequence[Entity]) -> Iterator[Entity]:
        name = self.record["dataset"]
        profiles = [one for one in PROFILES if self.jobs or "provenance" not in one]
        licence = self.config.get("retrieve", {}).get("licence")
        yield {
            "@id": CRATE,
            "@type": "CreativeWork",
            "about": _ref("./"),
            "conformsTo": [
                _ref("https://w3id.org/ro/crate/1.1"),
                _ref("https://w3id.org/workflowhub/workflow-ro-crate/1.0"),
            ],
        }
        yield {
            "@id": "./",
            "@type": "Dataset",
            "name": f"Maskmill's results for {name}",
            "description": f"Segmentation models of the data set {name}, their masks and figures, and what made them.",
            "datePublished": self.record["written"],
            "license": licence
            or "Of the pictures and annotations no licence was stated; the code is under Apache-2.0.",
            "conformsTo": _refs(profiles),
            "mainEntity": _ref(WORKFLOW),
            "hasPart": _refs([WORKFLOW, *map(_tool, self.rules), *(one["@id"] for one in data)]),
            "mentions": _refs(["#run", *self._actions(), SOURCES, *([SNAKEMAKE + "-run"] if self.jobs else [])]),
        }
        for profile in profiles:
            version = profile.rpartition("/")[2]
            yield {"@id": profile, "@type": "CreativeWork", "name": PROFILES[profile], "version": version}
        yield {"@id": APACHE, "@type": "CreativeWork", "name": "Apache License 2.0", "identifier": "Apache-2.0"}

    def _workflow(self) -> Entity:
        kinds = ["File", "SoftwareSourceCode", "ComputationalWorkflow", *(["HowTo"] if self.jobs else [])]
        return {
            "@id": WORKFLOW,
            "@type": kinds,
            "name": "Maskmill",
            "description": "Annotated pictures in, a deployed segmentation model out.",
            "version": self.record["maskmill"],
            "softwareVersion": self.record["maskmill"],
            "license": _ref(APACHE),
            "programmingLanguage": _ref(LANGUAGE),
            "conformsTo": _ref(f"{_BIOSCHEMAS}/ComputationalWorkflow/1.0-RELEASE"),
            "input": _refs(["#parameter-sources", *map(_parameter, self.options)]),
            "output": [_ref("#parameter-record")],
            **self._digest(WORKFLOW),
            **({"step": _refs(map(_step, self.rules)), "hasPart": _refs(map(_tool, self.rules))} if self.jobs else {}),
        }

    def _tools(self) -> Iterator[Entity]:
        for position, rule in enumerate(self.rules, 1):
            yield {
                "@id": _tool(rule),
                "@type": ["File", "SoftwareSourceCode"],
                "name": rule,
                "description": f"The script of the rule {rule}",
                "version": self.record["maskmill"],
                "license": _ref(APACHE),
                "programmingLanguage": "Python",
                **self._digest(_tool(rule)),
            }
            yield {"@id": _step(rule), "@type": "HowToStep", "position": position, "workExample": _ref(_tool(rule))}

    def _parameters(self) -> Iterator[Entity]:
        formal = {"@type": "FormalParameter", "conformsTo": _ref(f"{_BIOSCHEMAS}/FormalParameter/1.0-RELEASE")}
        yield formal | {
            "@id": "#parameter-sources",
            "name": "sources",
            "description": "Pictures and their annotations",
            "additionalType": "Collection",
            "workExample": _ref(SOURCES),
        }
        yield formal | {
            "@id": "#parameter-record",
            "name": "record",
            "description": "Which files the run made, and from what",
            "additionalType": "File",
            "workExample": _ref(RECORD),
        }
        for name, value in self.options.items():
            yield formal | {
                "@id": _parameter(name),
                "name": name,
                "additionalType": _KINDS.get(type(value), "Text"),
                "workExample": _ref(_value(name)),
            }
            plain = value if isinstance(value, (str, int, float)) else json.dumps(value, ensure_ascii=False)
            yield {
                "@id": _value(name),
                "@type": "PropertyValue",
                "name": name,
                "value": plain,
                "exampleOfWork": _ref(_parameter(name)),
            }

    def _data(self) -> Iterator[Entity]:
        """A file or a data set for each output in the results, and for what jobs read there that none of them made."""
        places = (place for job in self.jobs for place in (*job["outputs"], *job["inputs"]))
        for place in dict.fromkeys(map(self._id, places)):
            if place in self.record["files"]:
                kind = mimetypes.guess_type(place)[0] or "application/octet-stream"
                yield {"@id": place, "@type": "File", "name": place, "encodingFormat": kind, **self._digest(place)}
            elif place != SOURCES:
                yield {"@id": place, "@type": "Dataset", "name": place}

    def _own(self) -> Iterator[Entity]:
        yield {
            "@id": RECORD,
            "@type": "File",
            "name": "Record of the run",
            "description": "SHA-256 of each file, and what it was made from and by",
            "encodingFormat": "application/json",
            "exampleOfWork": _ref("#parameter-record"),
        }

    def _sources(self) -> Entity:
        count = len(self.record["sources"])
        return {
            "@id": SOURCES,
            "@type": "Collection",
            "name": "Pictures and annotations",
            "description": f"{count} files outside the crate; {RECORD} has their SHA-256",
            "exampleOfWork": _ref("#parameter-sources"),
        }

    def _run(self) -> Iterator[Entity]:
        """The run as a whole, each job of it, and what Snakemake had to do with them."""
        times = [job["started"] for job in self.jobs], [job["ended"] for job in self.jobs]
        yield {
            "@id": "#run",
            "@type": "CreateAction",
            "name": f"Run of Maskmill {self.record['maskmill']} on {self.record['dataset']}",
            "description": "Training runs " + ", ".join(run["run_id"] for run in self.record["runs"].values()),
            "instrument": _ref(WORKFLOW),
            "object": _refs([SOURCES, *map(_value, self.options)]),
            "result": _refs([RECORD, *(one["@id"] for one in self._data())]),
            "actionStatus": "http://schema.org/CompletedActionStatus",
            "agent": _ref("#maskmill"),
            "startTime": min(times[0], default=self.record["written"]),
            "endTime": max(times[1], default=self.record["written"]),
        }
        for number, job in enumerate(self.jobs):
            yield {
                "@id": _action(number),
                "@type": "CreateAction",
                "name": f"{job['rule']}: {', '.join(job['outputs'])}",
                "instrument": _ref(_tool(job["rule"])),
                "object": _refs(dict.fromkeys(map(self._id, job["inputs"]))),
                "result": _refs(dict.fromkeys(map(self._id, job["outputs"]))),
                "actionStatus": "http://schema.org/CompletedActionStatus",
                "agent": _ref("#maskmill"),
                "startTime": job["started"],
                "endTime": job["ended"],
            }
            yield {
                "@id": f"#control-{number}",
                "@type": "ControlAction",
                "name": f"Start of {job['rule']}",
                "instrument": _ref(_step(job["rule"])),
                "object": _ref(_action(number)),
            }
        if self.jobs:
            yield {
                "@id": f"{SNAKEMAKE}-run",
                "@type": "OrganizeAction",
                "name": "Snakemake plans and starts the jobs",
                "instrument": _ref(SNAKEMAKE),
                "agent": _ref("#maskmill"),
                "object": _refs(f"#control-{number}" for number in range(len(self.jobs))),
                "result": _ref("#run"),
                "startTime": min(times[0]),
                "endTime": max(times[1]),
            }

    def _environment(self) -> Iterator[Entity]:
        packages = self.record["environment"]["packages"]
        version = packages.get("snakemake", "unknown")
        yield {
            "@id": SNAKEMAKE,
            "@type": "SoftwareApplication",
            "name": "Snakemake",
            "url": "https://snakemake.github.io",
            "softwareVersion": version,
        }
        yield {
            "@id": LANGUAGE,
            "@type": "ComputerLanguage",
            "name": "Snakemake",
            "identifier": "https://doi.org/10.1093/bioinformatics/bts480",
            "url": "https://snakemake.github.io",
            "version": version,
        }
        yield {
            "@id": "#maskmill",
            "@type": "SoftwareApplication",
            "name": "Maskmill",
            "description": f"Python {self.record['environment']['python']}, pins with SHA-256 {self.record['lock']}",
            "softwareVersion": self.record["maskmill"],
            "softwareRequirements": [f"{name}=={found}" for name, found in packages.items()],
        }

    def _id(self, place: str) -> str:
        """Identifier of an input or output of a job: relative to the crate, of folders with a slash at the end."""
        if not place.startswith(self.prefix):
            return SOURCES
        name = place.removeprefix(self.prefix)
        return name if name in self.record["files"] else f"{name}/"

    def _digest(self, name: str) -> Entity:
        file = self.record["files"].get(name)
        return {"sha256": file["sha256"], "contentSize": str(file["bytes"])} if file else {}

    def _actions(self) -> list[str]:
        return [_action(number) for number in range(len(self.jobs))]


def _leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names of options and their values."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _ref(identifier: str) -> dict[str, str]:
    return {"@id": identifier}


def _refs(identifiers: Any) -> list[dict[str, str]]:
    return [_ref(one) for one in identifiers]


def _tool(rule: str) -> str:
    return f"{CODE}/workflow/scripts/{rule}.py"


def _step(rule: str) -> str:
    return f"#step-{rule}"


def _parameter(option: str) -> str:
    return f"#parameter-{quote(option)}"


def _value(option: str) -> str:
    return f"#value-{quote(option)}"


def _action(number: int) -> str:
    return f"#job-{number}"
