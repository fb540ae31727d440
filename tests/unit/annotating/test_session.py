"""labelme is opened on all pictures in a useful order, and what it saves ends where it belongs, once."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import maskmill.annotating.session
from maskmill.annotating.session import Workspace, annotate, is_proposal, label_colours, labelme_config, list_pictures
from maskmill.errors import MaskmillError
from maskmill.files import write_table
from tests.unit.label_data import labelme_source, shape, write_labelme, write_mask, write_picture

CLASSES = {"building": "#ff0000", "road": "#00ff00"}

STAND_IN = '''#!{python}
"""Does to the workspace what the test says, as labelme would on behalf of a person."""
import json, sys
from pathlib import Path

folder = Path(sys.argv[1])
Path("{record}").write_text(json.dumps({{
    "arguments": sys.argv[1:],
    "config": json.loads(Path(sys.argv[sys.argv.index("--config") + 1]).read_text()),
    "pictures": {{file.name: str(file.resolve()) for file in folder.iterdir() if file.is_symlink()}},
}}))

def save(stem, **changes):
    file = next(folder.glob(f"*{{stem}}.json"), None)
    picture = next(file for file in folder.glob(f"*{{stem}}.*") if file.suffix != ".json")
    content = json.loads(file.read_text()) if file else {{"version": "6.3.1", "shapes": [], "flags": {{}}}}
    content |= {{"imagePath": picture.name, "imageData": None, "imageHeight": 20, "imageWidth": 30}} | changes
    picture.with_suffix(".json").write_text(json.dumps(content))

{actions}
'''


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Two sites with pictures of one name, one annotated; working directory and display for labelme."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(maskmill.annotating.session, "SECONDS_BETWEEN_LOOKS", 0.05)
    for site in ("north", "south"):
        for name in ("a", "b"):
            write_picture(Path(f"images/{site}/{name}.png"))
    write_labelme(Path("annotations/north/b.json"), shape(), imagePath="../../images/north/b.png")
    return tmp_path


def stand_in(actions: str = "", folder: Path = Path("bin")) -> Path:
    """A program that acts as labelme; it records how it was called in record.json."""
    program = folder / "labelme"
    program.parent.mkdir(parents=True, exist_ok=True)
    record = Path("record.json").resolve()
    program.write_text(STAND_IN.format(python=sys.executable, record=record, actions=actions), encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def session(actions: str = "", **options) -> dict:
    """What labelme was called with in a session in which this was done."""
    options = {"background": "rest", "proposals": "proposals", "workspace": "work"} | options
    annotate(labelme_source(Path()), CLASSES, programs=[str(stand_in(actions))], **options)
    return read("record.json")


def read(path) -> dict:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def propose(*samples: str) -> None:
    """Proposals for these samples, the most uncertain first."""
    for sample in samples:
        write_labelme(Path(f"proposals/{sample}.json"), shape(), flags={"proposed": True})
    write_table("proposals/order.csv", [{"id": sample} for sample in samples], ["id"])


def test_every_picture_is_there_those_without_annotation_first(root):
    pictures = session()["pictures"]

    assert [file.removeprefix(str(root)) for _, file in sorted(pictures.items())] == [
        *("/images/north/a.png", "/images/south/a.png", "/images/south/b.png", "/images/north/b.png"),
    ]


def test_proposals_come_first_in_their_order(root):
    propose("south/b", "north/a", "north/b")  # the last has an annotation since

    called = session()["pictures"]

    assert [file.removeprefix(f"{root}/images/") for _, file in sorted(called.items())] == [
        *("south/b.png", "north/a.png", "south/a.png", "north/b.png"),
    ]


def test_labels_and_colours_are_those_of_the_data_set(root):
    called = session(background=["tree", "#000000"])

    config = called["config"]
    assert config["labels"] == ["building", "road", "tree", "_background_", "__ignore__"]
    assert config["label_colors"]["road"] == [0, 255, 0]
    assert config["label_colors"].keys() == set(config["labels"])
    assert (config["shape_color"], config["validate_label"], config["sort_labels"]) == ("manual", "exact", False)
    assert (config["auto_save"], config["with_image_data"]) == (True, False)
    assert config["label_flags"] == {".*": ["hole"]}
    assert called["arguments"][0] == "work"
    assert "--output" not in called["arguments"]  # labelme would put all sites into one folder


def test_what_is_saved_becomes_the_annotation_of_its_picture(root):
    session("save('south_a', shapes=[{'label': 'road'}])")

    content = read("annotations/south/a.json")
    assert content["shapes"] == [{"label": "road"}]
    assert content["imagePath"] == "../../images/south/a.png"
    assert not Path("annotations/north/a.json").exists()
    assert not Path("annotations/south/b.json").exists()


def test_an_annotation_can_be_changed_and_others_stay_byte_by_byte(root):
    write_labelme(Path("annotations/south/b.json"), shape("road"))
    before = Path("annotations/north/b.json").read_bytes()

    session("save('south_b', shapes=[])")

    assert read("annotations/south/b.json")["shapes"] == []
    assert Path("annotations/north/b.json").read_bytes() == before


def test_a_proposal_nobody_touched_stays_a_proposal(root):
    propose("south/a", "south/b")

    session("save('south_b', flags={'proposed': False})")

    assert not Path("annotations/south/a.json").exists()
    assert not is_proposal(read("annotations/south/b.json"))
    assert read("annotations/south/b.json")["shapes"][0]["label"] == "building"
    assert is_proposal(read("proposals/south/b.json"))  # left as it was drawn


def test_a_changed_proposal_whose_flag_is_still_set_is_kept_and_named(root, caplog):
    propose("south/a")
    caplog.set_level("WARNING")

    session("save('south_a', shapes=[])")

    assert is_proposal(read("annotations/south/a.json"))
    assert 'south/a was changed but its flag "proposed" is still set' in caplog.text
    called = session()["pictures"]
    assert min(called).endswith("south_a.png")  # and comes first again


def test_annotations_arrive_while_labelme_is_open(root):
    arrived = "Path('annotations/south/a.json').exists()"
    wait = f"import time\nfor _ in range(400):\n    if {arrived}: break\n    time.sleep(0.01)\nelse: sys.exit(9)"
    session(f"save('south_a')\n{wait}")

    assert Path("annotations/south/a.json").exists()


def test_a_picture_can_be_saved_again_and_again(root):
    arrived = "Path('annotations/south/a.json').exists()"
    wait = f"import time\nfor _ in range(400):\n    if {arrived}: break\n    time.sleep(0.01)\ntime.sleep(0.1)"
    session(f"save('south_a')\n{wait}\nsave('south_a', shapes=[{{'label': 'road'}}])")

    assert read("annotations/south/a.json")["shapes"] == [{"label": "road"}]


def test_what_a_killed_session_left_behind_is_taken_over_by_the_next(root):
    session()
    workspace = Workspace(Path("work"))
    (name,) = (file.stem for file in Path("work").glob("*south_a.png"))
    Path(f"work/{name}.json").write_text(json.dumps({"shapes": [{"label": "road"}]}), encoding="utf-8")
    assert not Path("annotations/south/a.json").exists()

    session()

    assert read("annotations/south/a.json")["shapes"] == [{"label": "road"}]
    assert workspace.folder.exists()


def test_an_annotation_changed_elsewhere_meanwhile_is_not_overwritten(root):
    elsewhere = "Path('annotations/north/b.json').write_text('{\"shapes\": [1]}')"

    with pytest.raises(MaskmillError, match=r"north/b.json was changed by something else") as error:
        session(f"{elsewhere}\nsave('north_b', shapes=[])")

    assert read("annotations/north/b.json") == {"shapes": [1]}
    (copy,) = Path("work").glob("*north_b.json")
    assert str(copy) in str(error.value)
    assert read(copy)["shapes"] == []
    with pytest.raises(MaskmillError, match="changed by something else"):
        session()  # nor is the copy
    copy.unlink()
    session()


def test_a_file_that_labelme_did_not_finish_is_kept(root):
    with pytest.raises(MaskmillError, match="is no JSON"):
        session("next(folder.glob('*south_a.png')).with_suffix('.json').write_text('{')")

    assert not Path("annotations/south/a.json").exists()


def test_deleting_a_label_file_in_labelme_deletes_nothing(root, caplog):
    session("next(folder.glob('*north_b.json')).unlink()")

    assert Path("annotations/north/b.json").exists()
    assert "deleted in labelme, but kept" in caplog.text


def test_a_failure_of_labelme_is_an_error_and_its_files_are_kept(root):
    with pytest.raises(MaskmillError, match=r"ended with status 3"):
        session("save('south_a')\nsys.exit(3)")

    assert Path("annotations/south/a.json").exists()


def test_broken_annotations_are_all_named_before_labelme_opens(root):
    for name in ("a", "b"):
        Path(f"annotations/north/{name}.json").write_text("{", encoding="utf-8")

    with pytest.raises(MaskmillError) as error:
        session()

    assert "north/a.json" in str(error.value)
    assert "north/b.json" in str(error.value)
    assert not Path("record.json").exists()


def test_patterns_say_where_annotations_go(root):
    source = labelme_source(Path()) | {
        "image_pattern": "{site}/{stem}.png",
        "annotation_pattern": "{site}/done/{stem}.label.json",
    }
    write_labelme(Path("annotations/north/done/a.label.json"), shape())
    annotate(source, CLASSES, "rest", "proposals", "work", [str(stand_in("save('south_a')"))])

    assert Path("annotations/south/done/a.label.json").exists()
    assert read("record.json")["pictures"].keys() >= {"00004_north_a.png"}


def test_pictures_beside_their_annotations(root):
    source = labelme_source(Path()) | {"annotations": "images"}

    annotate(source, CLASSES, "rest", "proposals", "work", [str(stand_in("save('south_a')"))])

    assert read("images/south/a.json")["imagePath"] == "a.png"


def test_long_and_foreign_names(root):
    name = "名" * 60
    write_picture(Path(f"images/{name}/{name}.png"))

    session(f"save('{'名' * 20}')")

    assert Path(f"annotations/{name}/{name}.json").exists()


@pytest.mark.parametrize(
    "change",
    [{"format": "png"}, {"format": "coco", "annotations": "a.json"}, {"format": "auto", "annotations": "masks"}],
)
def test_annotations_in_other_formats_are_refused(root, change):
    write_mask(Path("masks/north/a.png"), [[0, 1]])

    with pytest.raises(MaskmillError, match=r"maskmill import SOURCE --images FOLDER --to labelme"):
        list_pictures(labelme_source(Path()) | change)


def test_series_of_slices_are_left_out(root):
    Path("images/series").mkdir()
    Path("images/series/1.dcm").write_bytes(b"")

    assert [picture.id for picture in list_pictures(labelme_source(Path()))] == [
        "north/a",
        "north/b",
        "south/a",
        "south/b",
    ]


def test_a_missing_folder_of_pictures_is_named():
    with pytest.raises(MaskmillError, match=r"nowhere/images"):
        list_pictures(labelme_source(Path("nowhere")))


def test_without_labelme_the_error_says_how_to_install_it(root):
    with pytest.raises(MaskmillError, match=r"--use-conda(.|\n)*pip install -r requirements/annotate.txt"):
        annotate(labelme_source(Path()), CLASSES, "rest", "proposals", "work", programs=["no-such-program"])


def test_the_first_program_there_is_is_run(root, monkeypatch):
    stand_in("", Path("first"))
    monkeypatch.setenv("PATH", f"first{os.pathsep}{os.environ['PATH']}")
    annotate(labelme_source(Path()), CLASSES, "rest", "proposals", "work", ["missing", "labelme", str(stand_in("x"))])

    assert Path("record.json").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there always is a display")
def test_without_a_display_the_error_says_so(root, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(MaskmillError, match="no display"):
        session()


def test_planning_and_labelmes_environment_need_the_standard_library_alone():
    heavy = ("numpy", "PIL", "yaml", "cv2")
    code = f"import sys, maskmill.annotating.session; print(*(m for m in {heavy} if m in sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_labels_of_a_list_of_classes_have_colours_of_their_own():
    colours = label_colours(["a", "b"], "rest")

    assert list(colours) == ["a", "b", "_background_", "__ignore__"]
    assert len(set(colours.values())) == 4
    assert labelme_config(colours)["labels"] == list(colours)
