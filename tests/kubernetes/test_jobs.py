"""Files in an object store, and jobs as pods: the artifacts are those of a run on one machine."""

import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.conftest import PLUGINS
from tests.workflow.conftest import ROOT, Project

pytestmark = pytest.mark.slow

PROFILE = yaml.safe_load((ROOT / "profiles/kubernetes/config.yaml").read_text(encoding="utf-8"))
ALIKE = r"results/tiny/(splits|samples|problems|manifest)\.csv|results/tiny/labels/.*\.png"
"""What of the target `labels` is the same bytes wherever it is made."""


def made_here(cloud):
    """Those artifacts of a run on one machine, made beside the one in the store."""
    project = Project(cloud.folder)
    project.snakemake("--workflow-profile", "profiles/default", "--", "labels")
    files = {path.relative_to(cloud.folder).as_posix(): path for path in (cloud.folder / "results").rglob("*")}
    return {name: path.read_bytes() for name, path in files.items() if re.fullmatch(ALIKE, name)}


def alike(stored):
    return {name: content for name, content in stored.items() if re.fullmatch(ALIKE, name)}


def test_a_dry_run_takes_every_setting_of_the_profile(cloud):
    output = cloud.snakemake("--dry-run", "--", "labels")

    assert "index_samples" in output


def test_files_go_through_the_store(cloud):
    cloud.snakemake("--executor", "local", "--cores", "1", "--", "labels")

    stored = cloud.stored()
    assert "results/tiny/quality/audit.html" in stored
    assert not (cloud.folder / "results").exists()
    assert alike(stored) == made_here(cloud)
    assert "Nothing to be done" in cloud.snakemake("--executor", "local", "--cores", "1", "--", "labels")


def test_jobs_run_as_pods(cloud, tmp_path):
    image = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": str(PLUGINS), "HOME": str(tmp_path),
             "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_FIND_LINKS": str(PLUGINS / "wheels")}  # fmt: skip
    options = ("--kubernetes-persistent-volumes", f"maskmill:{cloud.volume}", "--container-image", "image")
    options += ("--seconds-between-status-checks", "1", "--jobs", "2")
    with Cluster(tmp_path / "cluster", image) as cluster:
        output = cloud.snakemake(*options, "--", "labels", check=False, KUBECONFIG=str(cluster.kubeconfig))
        logs = "\n".join(map(cluster.log, cluster.pods))

    assert "100%" in output, output + logs
    assert alike(cloud.stored()) == made_here(cloud)
    for job in cluster.jobs.values():
        (container,) = job["spec"]["template"]["spec"]["containers"]
        assert container["image"] == "image"
        assert {"mountPath": str(cloud.volume), "name": "maskmill"} in container["volumeMounts"]
        assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
    assert cluster.secrets == {}
