import pytest

from maskmill.dag.filesystems import network_filesystem, store_words

MOUNTS = [
    ("/dev/sda1", "/", "ext4"),
    ("tmpfs", "/tmp", "tmpfs"),
    ("server:/home", "/home", "nfs4"),
    ("/dev/sdb1", "/home/scratch", "xfs"),
    ("10.0.0.1@tcp:/fs", "/space", "lustre"),
    ("store", "/mnt/own data", "beegfs"),
]


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/ada/project/results/mlflow.db", "nfs4"),
        ("/home/scratch/mlflow.db", None),
        ("/homes/mlflow.db", None),
        ("/space", "lustre"),
        ("/mnt/own data/mlflow.db", "beegfs"),
        ("/mnt/mlflow.db", None),
        ("/tmp/mlflow.db", None),
    ],
)
def test_the_deepest_mount_decides(path, kind):
    assert network_filesystem(path, MOUNTS) == kind


def test_of_two_mounts_in_one_place_the_later_hides_the_earlier():
    assert network_filesystem("/space/a", [*MOUNTS, ("/dev/sdc1", "/space", "ext4")]) is None
    assert network_filesystem("/tmp/a", [*MOUNTS, ("//host/share", "/tmp", "cifs")]) == "cifs"


def test_a_link_counts_as_where_it_leads_to(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "here").symlink_to(tmp_path / "there")

    assert network_filesystem(tmp_path / "here/a", [("x", str(tmp_path / "there"), "gpfs")]) == "gpfs"


def test_a_table_without_a_root_says_nothing():
    assert network_filesystem("/space/a", []) is None


def test_the_table_of_this_machine_is_read():
    assert network_filesystem("/proc/self/mounts") is None


def test_a_database_file_on_a_network_file_system_is_told_of_with_the_remedy():
    words = store_words("sqlite:////space/roofs/mlflow.db", MOUNTS)

    assert "/space/roofs/mlflow.db lies on a network file system (lustre)" in words
    assert "MLflow server" in words
    assert "tracking.uri" in words


def test_a_relative_file_is_looked_for_in_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    assert "(nfs)" in store_words("sqlite:///results/mlflow.db", [("server:/", str(tmp_path), "nfs")])


@pytest.mark.parametrize("uri", ["http://mlflow.example.org:5000", "sqlite:////home/scratch/mlflow.db"])
def test_servers_and_local_files_are_not_told_of(uri):
    assert store_words(uri, MOUNTS) is None


def test_a_server_in_the_environment_wins(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example.org:5000")

    assert store_words("sqlite:////space/mlflow.db", MOUNTS) is None
