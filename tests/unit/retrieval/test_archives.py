"""Archives of a data set: all that is wanted is unpacked or nothing, and what is wrong with them is said."""

import pytest

from tests.unit.retrieval.file_server import Resource
from tests.unit.retrieval.retrieval_data import (
    data_files,
    inventory,
    refusal,
    retrieve,
    sha256,
    some_bytes,
    tarred,
    zipped,
)

MEMBERS = {"img/1.gz": b"one", "img/2.gz": b"two", "label/1.gz": b"three", "README": b"not wanted"}
CONTENTS = {"train": ["img/{1,2}.gz"], "labels": ["label/1.gz"]}
ARCHIVES = [
    ("zip", zipped(MEMBERS)),
    ("zip", zipped({f"Top/Raw/{name}": content for name, content in MEMBERS.items()})),
    ("tar", tarred(MEMBERS)),
    ("tar", tarred({f"./{name}": content for name, content in MEMBERS.items()}, mode="w:xz")),
    ("tar", tarred(MEMBERS, mode="w")),
]


@pytest.mark.parametrize(("kind", "data"), ARCHIVES)
def test_archives_are_unpacked_to_their_places(site, folder, kind, data):
    site.files["/a"] = Resource(data)
    entry = {"path": "archive", "url": f"{site.base}/a", "unpack": kind, "contents": CONTENTS, "sha256": sha256(data)}

    retrieve(folder, files=[entry])

    assert data_files(folder) == ["archive", "labels/1.gz", "train/1.gz", "train/2.gz"]
    assert (folder / "labels/1.gz").read_bytes() == b"three"
    assert inventory(folder)["train/2.gz"] == {
        "path": "train/2.gz",
        "size": "3",
        "sha256": sha256(b"two"),
        "url": f"{site.base}/a#img/2.gz",
    }
    assert inventory(folder)["archive"]["sha256"] == sha256(data)
    assert (folder / "retrieved.txt").read_text().startswith("3 files, 11 bytes"), "the archive may be deleted"
    listed = (folder / "inventory.csv").read_bytes()
    (folder / "archive").unlink()
    site.requests.clear()
    retrieve(folder, files=[entry])
    assert site.requests == [], "an archive whose files are there is not needed any more"
    assert (folder / "inventory.csv").read_bytes() == listed


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_writes_nothing_but_what_is_wanted(site, folder, kind):
    members = {
        "../train/1.gz": b"evil",
        "/train/1.gz": b"evil",
        "../../evil": b"evil",
        "x/../../img/2.gz": b"evil",
        f"{folder.parent}/evil": b"evil",
        "img/1.gz": b"good",
    }
    site.files["/a"] = Resource(zipped(members) if kind == "zip" else tarred(members))
    entry = {"path": "archive", "url": f"{site.base}/a", "unpack": kind}

    message = refusal(folder, files=[{**entry, "contents": {"train": ["img/{1,2}.gz"]}}])

    assert "it does not hold img/2.gz" in message
    assert "img/1.gz" not in message
    retrieve(folder, files=[{**entry, "contents": {"train": ["img/1.gz"]}}])
    assert (folder / "train/1.gz").read_bytes() == b"good"
    written = [path for path in folder.parent.parent.rglob("*") if path.is_file()]
    assert not [path for path in written if path.read_bytes() == b"evil"]


def test_a_link_in_an_archive_is_no_file(site, folder):
    site.files["/a"] = Resource(tarred({"img/1.gz": b"one"}, links=[("img/2.gz", "/etc/passwd")]))
    entry = {"path": "archive", "url": f"{site.base}/a", "unpack": "tar", "contents": {"train": ["img/{1,2}.gz"]}}

    assert "it does not hold img/2.gz" in refusal(folder, files=[entry])

    assert data_files(folder) == ["archive"]


def test_a_member_that_could_be_several_is_refused(site, folder):
    site.files["/a"] = Resource(zipped({"a/img/1.gz": b"one", "b/img/1.gz": b"other"}))
    entry = {"path": "archive", "url": f"{site.base}/a", "unpack": "zip", "contents": {"train": ["img/1.gz"]}}

    assert "several of its members could be img/1.gz: a/img/1.gz, b/img/1.gz" in refusal(folder, files=[entry])


def damaged_members():
    data = bytearray(zipped({"img/1.gz": some_bytes(0, 5000)}))
    data[1000] ^= 255
    return bytes(data)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("zip", b"no archive"),
        ("zip", zipped(MEMBERS)[:-30]),
        ("zip", damaged_members()),
        ("tar", b"no archive"),
        ("tar", tarred({"img/1.gz": some_bytes(0, 5000)})[:3000]),
        ("zip", tarred(MEMBERS)),
    ],
)
def test_a_damaged_archive_is_reported_and_no_half_file_stays(folder, kind, data):
    folder.mkdir(parents=True)
    (folder / "archive").write_bytes(data)

    message = refusal(folder, files=[{"path": "archive", "unpack": kind, "contents": {"train": ["img/1.gz"]}}])

    assert f"- {folder}/archive\n      it is damaged or no {kind} archive" in message
    assert f"or put the files there that are wanted from it:\n      {folder}/train/1.gz" in message
    assert data_files(folder) == ["archive"]


def test_an_archive_put_there_by_hand_is_checked(folder):
    folder.mkdir(parents=True)
    (folder / "archive").write_bytes(zipped(MEMBERS))
    entry = {"path": "archive", "unpack": "zip", "contents": CONTENTS}

    message = refusal(folder, files=[{**entry, "sha256": "0" * 64, "size": 7}])

    assert f"it has {len(zipped(MEMBERS))} bytes, expected 7" in message
    assert f"expected {'0' * 64}" in message
    assert data_files(folder) == ["archive"]
    retrieve(folder, files=[entry])
    assert inventory(folder)["labels/1.gz"]["url"] == "archive#label/1.gz"


def test_an_incomplete_archive_leaves_nothing_behind(folder):
    folder.mkdir(parents=True)
    entry = {"path": "archive", "unpack": "zip", "contents": CONTENTS}
    (folder / "archive").write_bytes(zipped({"img/1.gz": b"junk"}))

    message = refusal(folder, files=[entry])

    assert "it does not hold img/2.gz\n      it does not hold label/1.gz\n    nothing was unpacked" in message
    assert f"wanted from it:\n      {folder}/train/2.gz\n      {folder}/labels/1.gz" in message
    assert data_files(folder) == ["archive"]
    assert not (folder / "inventory.csv").exists()
    (folder / "archive").write_bytes(zipped(MEMBERS))
    retrieve(folder, files=[entry])
    assert (folder / "train/1.gz").read_bytes() == b"one"


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("junk", [b"junk", b"two"])
def test_files_that_are_not_the_archives_own_stop_the_run(folder, kind, junk):
    (folder / "train").mkdir(parents=True)
    (folder / "train/1.gz").write_bytes(junk)
    (folder / "inventory.csv").write_text(
        f"path,size,sha256,url\ntrain/1.gz,{len(junk)},{sha256(junk)},archive#img/1.gz\n"
    )
    (folder / "archive").write_bytes(zipped(MEMBERS) if kind == "zip" else tarred(MEMBERS))
    entry = {"path": "archive", "unpack": kind, "contents": CONTENTS}

    message = refusal(folder, files=[entry])

    assert f"- {folder}/archive\n      its img/1.gz is not the same as {folder}/train/1.gz\n    nothing" in message
    assert f"or take the files that differ away, and their lines out of {folder}/inventory.csv" in message
    assert data_files(folder) == ["archive", "train/1.gz"]
    (folder / "train/1.gz").unlink()
    (folder / "inventory.csv").unlink()
    retrieve(folder, files=[entry])
    assert (folder / "train/1.gz").read_bytes() == b"one"


def test_files_put_there_by_hand_go_with_an_archive_that_lacks_them(folder):
    (folder / "labels").mkdir(parents=True)
    (folder / "labels/1.gz").write_bytes(b"by hand")
    (folder / "archive").write_bytes(zipped({"img/1.gz": b"one", "img/2.gz": b"two"}))

    retrieve(folder, files=[{"path": "archive", "unpack": "zip", "contents": CONTENTS}])

    assert inventory(folder)["labels/1.gz"]["url"] == ""
    assert (folder / "train/2.gz").read_bytes() == b"two"


def test_another_archive_in_the_place_of_the_first_is_noticed(folder):
    folder.mkdir(parents=True)
    entry = {"path": "archive", "unpack": "zip", "contents": CONTENTS}
    (folder / "archive").write_bytes(zipped(MEMBERS))
    retrieve(folder, files=[entry])
    (folder / "archive").write_bytes(zipped({**MEMBERS, "img/1.gz": b"later"}))

    message = refusal(folder, files=[entry])

    assert f"but was {sha256(zipped(MEMBERS))} when it was first retrieved" in message
    assert (folder / "train/1.gz").read_bytes() == b"one"


def test_a_member_that_is_damaged_takes_the_others_with_it(folder):
    folder.mkdir(parents=True)
    data = bytearray(zipped({"img/1.gz": b"one", "img/2.gz": b"two", "label/1.gz": some_bytes(0, 5000)}))
    data[1000] ^= 255
    (folder / "archive").write_bytes(data)

    refusal(folder, files=[{"path": "archive", "unpack": "zip", "contents": CONTENTS}])

    assert data_files(folder) == ["archive"]
