"""The ready data sets of config/datasets: valid, and retrieved from servers that serve look-alikes."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from jsonschema import Draft202012Validator
from PIL import Image

from maskmill.annotations import masks
from maskmill.dag.configuration import deep_merge
from maskmill.indexing.pairing import find_pairs
from tests.unit.retrieval.file_server import Resource
from tests.unit.retrieval.retrieval_data import data_files, inventory, refusal, retrieve, section, zipped

ROOT = Path(__file__).parents[3]
CONFIGS = {
    file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) for file in (ROOT / "config/datasets").glob("*.yaml")
}


RETRIEVE = yaml.safe_load(r"""
description: >-
  Public data to bring to resources/<name>/ first, as in config/datasets/. Leave it out for your own pictures.
type: object
additionalProperties: false
required: [licence, citation, homepage]
properties:
  licence:
    description: Terms of use in a few words; shown before anything is fetched and kept in LICENCE.txt.
    type: string
    minLength: 1
  citation:
    description: What to cite; shown before anything is fetched and kept in CITATION.txt.
    type: string
    minLength: 1
  homepage:
    description: Where the data set is described.
    type: string
    pattern: ^https?://
  files:
    description: >-
      Single files: `path` below resources/<name>/, `url` (one, or a list of mirrors; none for a file to be put there by
      hand), and where known `sha256` and `size` in bytes. Of an archive, `unpack` says its kind (zip, tar) and
      `contents`, by folder to put them in, which members are wanted; braces are alternatives: img{01..03}.png.
    type: array
    items:
      type: object
      additionalProperties: false
      required: [path]
      properties:
        path: {type: string, minLength: 1}
        url:
          oneOf:
            - {type: string, pattern: "^https?://"}
            - {type: array, minItems: 1, items: {type: string, pattern: "^https?://"}}
        sha256: {type: string, pattern: "^[0-9a-f]{64}$"}
        size: {type: integer, minimum: 0}
        unpack: {enum: [zip, tar]}
        contents:
          type: object
          minProperties: 1
          additionalProperties: {type: array, minItems: 1, items: {type: string}}
      dependentRequired: {unpack: [contents], contents: [unpack]}
    default: []
  indexes:
    description: >-
      Web pages that link to files: `url`, a regular expression `pattern` for the files' names, the `folder` to put them
      in below resources/<name>/, and their `count`.
    type: array
    items:
      type: object
      additionalProperties: false
      required: [url, pattern, folder, count]
      properties:
        url: {type: string, pattern: "^https?://"}
        pattern: {type: string, format: regex}
        folder: {type: string, minLength: 1}
        count: {type: integer, minimum: 1}
    default: []
  manual:
    description: How to get what cannot be fetched; shown as long as something is missing.
    type: string
    default: ""
""")


def shipped(name, site=None, web="https://www.cs.toronto.edu/~vmnih"):
    """The section `retrieve` of a shipped config, with its defaults; on the test's server if one is given."""
    parts = {"files": [], "indexes": [], "manual": ""} | CONFIGS[name]["retrieve"]
    text = yaml.safe_dump(parts)
    return yaml.safe_load(text.replace(web, site.base) if site else text)


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_the_section_of_a_shipped_config_is_valid(name):
    assert [error.message for error in Draft202012Validator(RETRIEVE).iter_errors(CONFIGS[name]["retrieve"])] == []
    assert CONFIGS[name]["dataset"]["name"] == name
    assert CONFIGS[name]["dataset"]["source"]["images"] == f"resources/{name}"
    assert shipped(name)["files"] or shipped(name)["indexes"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"files": [{"path": "a", "unpack": "zip"}]},
        {"files": [{"path": "a", "url": "ftp://example.org/a"}]},
        {"files": [{"path": "a", "sha256": "ABC"}]},
        {"files": [{"url": "https://example.org/a"}]},
        {"indexes": [{"url": "https://example.org/", "pattern": "x", "folder": "x"}]},
        {"mirror": []},
    ],
)
def test_mistakes_in_the_section_are_found(wrong):
    assert len(list(Draft202012Validator(RETRIEVE).iter_errors(section(**wrong)))) >= 1


def test_the_documented_examples_are_valid():
    page = (ROOT / "docs/datasets.md").read_text(encoding="utf-8")
    mirror, own = (yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))

    assert list(Draft202012Validator(RETRIEVE).iter_errors(own["retrieve"])) == []
    shipped_section = CONFIGS["isbi2012"]["retrieve"]
    assert list(Draft202012Validator(RETRIEVE).iter_errors(deep_merge(shipped_section, mirror["retrieve"]))) == []
    (address,) = [file.pop("url") for file in mirror["retrieve"]["files"]]
    assert mirror["retrieve"]["files"] == [
        {key: value for key, value in file.items() if key != "url"} for file in shipped_section["files"]
    ]
    assert "mirror" in address


def test_btcv_says_what_to_put_where_and_takes_it(folder):
    options = shipped("btcv")
    cases = [*range(1, 11), *range(21, 41)]
    names = [f"Training/{kind}{case:04d}.nii.gz" for kind in ("img/img", "label/label") for case in cases]

    message = refusal(folder, **options)

    assert f"put the file there by hand: {folder}/RawData.zip" in message
    assert "Synapse:syn3193805" in message
    listed = [line.strip() for line in message.splitlines() if line.strip().endswith(".nii.gz")]
    assert len(listed) == len(set(listed)) == 60
    assert f"{folder}/test/img0035.nii.gz" in listed
    assert f"{folder}/train/label0040.nii.gz" in listed

    members = {f"RawData/{name}": name.encode() for name in names} | {"RawData/Testing/img/img0061.nii.gz": b""}
    gone = members.pop("RawData/Training/label/label0022.nii.gz")
    (folder / "RawData.zip").write_bytes(zipped(members))
    message = refusal(folder, **options)
    assert "it does not hold Training/label/label0022.nii.gz" in message
    assert message.count("it does not hold") == 1
    assert f"wanted from it:\n      {folder}/test/label0022.nii.gz\nHow to" in message

    (folder / "test").mkdir()
    (folder / "test/label0022.nii.gz").write_bytes(gone)
    retrieve(folder, **options)
    (folder / "RawData.zip").unlink()
    retrieve(folder, **options)
    assert len(list((folder / "train").iterdir())) == 36
    assert len(list((folder / "test").iterdir())) == 24
    assert (folder / "test/img0008.nii.gz").read_bytes() == b"Training/img/img0008.nii.gz"
    assert inventory(folder)["test/img0008.nii.gz"]["url"] == "RawData.zip#Training/img/img0008.nii.gz"
    assert inventory(folder)["test/label0022.nii.gz"]["url"] == ""


def saved(pixels, suffix):
    """Bytes of a picture."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format={".tif": "TIFF", ".tiff": "TIFF", ".png": "PNG"}[suffix])
    return file.getvalue()


def pairs_of(name, folder):
    """How the pictures and annotations of a shipped data set that was retrieved to `folder` are paired."""
    source = CONFIGS[name]["dataset"]["source"] | {"images": str(folder), "annotations": str(folder)}
    return find_pairs(source)


@pytest.mark.real
def test_massachusetts_look_alikes_are_retrieved_and_paired(site, folder, real_data):
    options = shipped("massachusetts_buildings", site)
    patches = real_data / "massachusetts_patches"
    numbers = {"train": (0, 2), "valid": (3,), "test": (5,)}
    for index in options["indexes"]:
        part, kind = index["folder"].split("/")
        suffix = ".tiff" if kind == "sat" else ".tif"
        links = []
        for number in numbers[part]:
            if kind == "sat":
                data = (patches / f"AerialPatches/AerialPatch{number}.tif").read_bytes()
            else:
                mask = np.asarray(Image.open(patches / f"PatchesGroundTruth/{number}.tif"))
                data = saved(np.stack([255 * mask, 0 * mask, 0 * mask], axis=2).astype(np.uint8), suffix)
            path = f"/data/mass_buildings/{part}/{kind}//2267891{number}_15{suffix}"
            site.files[path] = Resource(data, etag=f'"{number}"', cuts=[30_000])
            links.append(f'<a href="{site.base}{path}">{Path(path).name}</a> </br>')
        site.files[f"/data/mass_buildings/{part}/{kind}/index.html"] = Resource("\n".join(links).encode())
        index["count"] = len(links)

    retrieve(folder, **options)

    pairs, problems = pairs_of("massachusetts_buildings", folder)
    assert problems == []
    assert sorted(pairs) == ["test/22678915_15", "train/22678910_15", "train/22678912_15", "valid/22678913_15"]
    dataset = CONFIGS["massachusetts_buildings"]["dataset"]
    labels = masks.read(pairs["test/22678915_15"].annotation, dataset["classes"], dataset["background"]).label_values
    assert np.array_equal(labels, np.asarray(Image.open(patches / "PatchesGroundTruth/5.tif")))
    assert all(site.sent(path) == len(file.data) for path, file in site.files.items()), "no byte is sent twice"


@pytest.mark.real
def test_isbi2012_look_alikes_are_retrieved_and_paired(site, folder, real_data):
    options = shipped("isbi2012", site, "https://downloads.imagej.net")
    sections = real_data / "isbi2012_membrane/train"
    members = {}
    for kind, name in (("image", "volume"), ("label", "labels")):
        pages = [Image.open(sections / f"{kind}/{number}.png") for number in range(6)]
        for part, chosen in (("train", pages[:4]), ("test", pages[4:])):
            stack = io.BytesIO()
            chosen[0].save(stack, format="TIFF", save_all=True, append_images=chosen[1:])
            members[f"ISBI-2012-challenge/{part}-{name}.tif"] = stack.getvalue()
    members["ISBI-2012-challenge/challenge-error-metrics.bsh"] = b"// not wanted"
    site.files["/ISBI-2012-challenge.zip"] = Resource(zipped(members), etag='"z"', cuts=[100_000])

    retrieve(folder, **options)

    assert data_files(folder) == [
        *("ISBI-2012-challenge.zip", "test-labels.tif", "test-volume.tif", "train-labels.tif", "train-volume.tif")
    ]
    pairs, problems = pairs_of("isbi2012", folder)
    assert problems == []
    assert {name: Path(pair.annotation).name for name, pair in pairs.items()} == {
        "test": "test-labels.tif",
        "train": "train-labels.tif",
    }
    with Image.open(folder / "train-labels.tif") as stack:
        assert stack.n_frames == 4
    dataset = CONFIGS["isbi2012"]["dataset"]
    page = f"{pairs['train'].annotation}#page=3"
    labels = masks.read(page, dataset["classes"], dataset["background"]).label_values
    membrane = np.asarray(Image.open(sections / "label/3.png")) == 0
    assert np.array_equal(labels, membrane), "black is the class"
