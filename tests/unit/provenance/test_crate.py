"""The crate follows the published profiles, as their own validator judges, and tells what the record tells."""

import json
from importlib.resources import files

import pytest
import requests

from maskmill.files import read_json, write_json
from maskmill.provenance.crate import CONTEXT, make_crate
from maskmill.provenance.stability import CRATE, RECORD
from tests.unit.provenance.conftest import BUNDLE, RUN

TERMS = {
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    "FormalParameter": "https://bioschemas.org/FormalParameter",
    "input": "https://bioschemas.org/ComputationalWorkflow#input",
    "output": "https://bioschemas.org/ComputationalWorkflow#output",
}
"""Terms that RO-Crate 1.1 spells otherwise than 1.3, whose context the package `rocrate` brings."""

RUN_TERMS = {"@context": {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}}
"""Of the context of workflow runs what crates use here."""


@pytest.fixture
def judge(monkeypatch):
    """Function that gives what the public validator has against the crate of a folder, for a profile.

    The contexts are not fetched: tests run without a network.
    """
    from rocrate_validator import models, services
    from rocrate_validator.utils.http import HttpRequester

    published = json.loads(files("rocrate").joinpath("data/ro-crate.jsonld").read_text(encoding="utf-8"))
    contexts = dict(zip(CONTEXT, ({"@context": published["@context"] | TERMS}, RUN_TERMS), strict=True))

    def get(requester, url, **options):
        response = requests.Response()
        response.status_code, response._content = 200, json.dumps(contexts[url]).encode()
        response.headers["Content-Type"] = "application/ld+json"
        return response

    monkeypatch.setattr(HttpRequester, "get", get, raising=False)

    def messages(folder, profile: str) -> list[str]:
        settings = services.ValidationSettings(
            rocrate_uri=str(folder), profile_identifier=profile, requirement_severity=models.Severity.REQUIRED
        )
        return [issue.message for issue in services.validate(settings).get_issues()]

    return messages


def entities(crate: dict) -> dict[str, dict]:
    return {entity["@id"]: entity for entity in crate["@graph"]}


def references(value):
    if isinstance(value, dict):
        if set(value) == {"@id"}:
            yield value["@id"]
        else:
            for part in value.values():
                yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("profile", ["workflow-run-crate", "provenance-run-crate"])
def test_the_public_validator_has_nothing_against_it(described, judge, profile):
    assert judge(described, profile) == []


@pytest.mark.filterwarnings("ignore")
def test_the_public_validator_sees_what_is_missing(described, judge):
    crate = read_json(described / CRATE)
    for entity in crate["@graph"]:
        if entity["@id"] == "#run":
            del entity["instrument"]
    write_json(described / CRATE, crate)

    assert judge(described, "workflow-run-crate")


@pytest.mark.filterwarnings("ignore")
def test_a_run_without_notes_on_its_jobs_is_a_workflow_run_crate(described, judge):
    write_json(described / CRATE, make_crate(read_json(described / RECORD) | {"jobs": []}))

    assert judge(described, "workflow-run-crate") == []


def test_every_reference_leads_to_an_entity_and_every_file_is_there(described):
    found = entities(read_json(described / CRATE))
    outside = {"https://w3id.org/ro/crate/1.1", "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"}
    outside.add("https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE")

    assert set(references(list(found.values()))) - found.keys() == outside
    assert len(found) == len(read_json(described / CRATE)["@graph"])
    for name, entity in found.items():
        if {"File", "Dataset"} & set(entity["@type"] if isinstance(entity["@type"], list) else [entity["@type"]]):
            assert (described / name).exists(), name


def test_a_job_tells_its_tool_what_it_read_and_what_it_made(described):
    found = entities(read_json(described / CRATE))
    action = next(one for one in found.values() if one["@type"] == "CreateAction" and one["name"].startswith("train"))

    assert action["instrument"] == {"@id": "code/workflow/scripts/train.py"}
    assert action["object"] == [{"@id": "labels/00/"}]
    assert {"@id": f"{RUN}/model.safetensors"} in action["result"]
    assert action["endTime"] == "2001-09-09T01:48:20+00:00"
    weights = found[f"{RUN}/model.safetensors"]
    assert weights["sha256"] == read_json(described / RECORD)["files"][f"{RUN}/model.safetensors"]["sha256"]
    assert found[f"{BUNDLE}/"]["@type"] == "Dataset"


def test_names_of_options_are_written_as_addresses(described):
    record = read_json(described / RECORD)
    found = entities(make_crate(record | {"config": json.dumps({"classes": {"flat röof": [1]}})}))

    assert found["#parameter-classes.flat%20r%C3%B6of"]["name"] == "classes.flat röof"
    assert found["#value-classes.flat%20r%C3%B6of"]["exampleOfWork"] == {"@id": "#parameter-classes.flat%20r%C3%B6of"}


def test_options_are_values_of_parameters_and_agents_have_versions(described):
    found = entities(read_json(described / CRATE))

    assert found["#value-train.lr"]["value"] == 0.5
    assert found["#parameter-train.lr"]["additionalType"] == "Float"
    assert found["#parameter-train.lr"]["workExample"] == {"@id": "#value-train.lr"}
    assert found["#run"]["agent"] == {"@id": "#maskmill"}
    assert found["#maskmill"]["softwareVersion"]
    assert "0123456789ab" in found["#run"]["description"]
