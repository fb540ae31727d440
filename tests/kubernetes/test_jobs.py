"""Files in an object store, and jobs as pods: the artifacts are those of a run on one machine."""

import re
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.conftest import PLUGINS
from tests.workflow.chaos import artifacts
from tests.workflow.conftest import Project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (PLUGINS / "moto").is_dir(), reason="the plugins are not here; `make test-kubernetes` fetches them"
    ),
]

MODEL = "results/tiny/runs/baseline/fold0-seed0/model.safetensors"


def made_here(cloud, *targets: str) -> dict[str, str]:
    """Artifacts of a run on one machine, made beside the one in the store."""
    shutil.rmtree(cloud.volume / "state", ignore_errors=True)
    Project(cloud.folder).snakemake("--workflow-profile", "profiles/default", "--", *targets)
    return artifacts(cloud.folder / "results")


def stored_artifacts(cloud, folder: Path) -> dict[str, str]:
    """The same of what is in the store, which is fetched to an empty folder."""
    for name, content in cloud.stored().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return artifacts(folder / "results")


@pytest.fixture
def cluster(cloud, tmp_path):
    """A cluster whose image holds what is installed here."""
    image = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": str(PLUGINS), "HOME": str(tmp_path),
             "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_FIND_LINKS": str(PLUGINS / "wheels")}  # fmt: skip
    with Cluster(tmp_path / "cluster", image) as cluster:
        yield cluster


def test_a_dry_run_takes_every_setting_of_the_profile(cloud):
    output = cloud.snakemake("--dry-run", "--", "labels")

    assert "index_samples" in output


def test_the_whole_pipeline_goes_through_the_store(cloud, tmp_path):
    here = ("--executor", "local", "--cores", "2")
    output = cloud.snakemake(*here)

    assert "in the object store below\n  s3://maskmill/here/results/tiny\n" in output
    assert not (cloud.folder / "results").exists()
    found = stored_artifacts(cloud, tmp_path / "fetched")
    assert "tiny/experiments/baseline/bundle/bundle.json" in found
    expected = made_here(cloud)
    assert found.keys() == expected.keys()
    assert {name for name in expected if found[name] != expected[name]} == set()
    assert "Nothing to be done" in cloud.snakemake(*here)


def test_jobs_run_as_pods_and_a_training_whose_pod_is_lost_goes_on_in_another(cloud, cluster, tmp_path):
    options = ("--kubernetes-persistent-volumes", f"maskmill:{cloud.volume}", "--container-image", "image")
    options += ("--seconds-between-status-checks", "1", "--jobs", "2", "--", MODEL)
    with ThreadPoolExecutor() as other:
        lost = other.submit(lose_training, cluster, cloud.volume / "state")
        output = cloud.snakemake(*options, check=False, KUBECONFIG=str(cluster.kubeconfig))

    assert "(100%) done" in output, output + "\n".join(map(cluster.log, cluster.pods))
    first, second = trainings(cluster)
    assert first == lost.result()
    assert "going on after" in cluster.log(second)
    assert stored_artifacts(cloud, tmp_path / "fetched") == made_here(cloud, MODEL)
    assert cluster.secrets == {}
    for job in cluster.jobs.values():
        (container,) = job["spec"]["template"]["spec"]["containers"]
        assert container["image"] == "image"
        assert {"mountPath": str(cloud.volume), "name": "maskmill"} in container["volumeMounts"]
        assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]


def trainings(cluster: Cluster) -> list[str]:
    """Names of the jobs that train."""
    return [name for name, job in cluster.jobs.items() if re.search(r"--target-jobs\W+train_model:", str(job))]


def lose_training(cluster: Cluster, states: Path) -> str:
    """End the pod of the first training as soon as it has saved a second state; the name of its job."""
    while not any(states.rglob("previous.pt")):
        time.sleep(0.05)
    (name,) = trainings(cluster)
    cluster.kill(name)
    return name
