"""`zsprompt data list`, `check` and `fetch`, as people call them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from archives import tree
from command_line import Cli, environment
from fakes import draw, draw_files
from file_server import FileServer, Reply, quick_connections
from trees import MAKERS, make_coco
from typer.testing import CliRunner, Result
from voc_archives import TARS, TEST, TRAINVAL, voc_entry

from zsprompt.data import DATASETS
from zsprompt.data.datasets import scenes
from zsprompt.data.download.catalogue import CATALOGUE

PLANTED = ("--model", "fakes:PlantedEncoder")
Command = Callable[..., Result]


def one_line(stderr: str) -> str:
    """The last line of stderr, which is the only error."""
    *notes, last = stderr.splitlines()
    assert last.startswith("error: ")
    assert not [line for line in notes if "error" in line or "Traceback" in line]
    return last


# -- list


def test_list_says_what_each_is_and_where_it_is_looked_for(cli: Cli, tmp_path: Path) -> None:
    done = cli("data", "list", "--root", tmp_path)
    assert done.returncode == 0, done.stderr
    assert {line.split()[0] for line in done.stdout.splitlines() if line[:1].isalpha()} >= set(DATASETS)
    for reason in (
        "PASCAL VOC 2007: 9,963 photos, 20 labels",
        "CC BY 4.0",
        "not present: `zsprompt data fetch voc` downloads it (911 MB)",
        "fill in the form at https://lms.comp.nus.edu.sg",
    ):
        assert reason in done.stdout
    assert done.stdout.splitlines()[-1] == f"looked for in {tmp_path}"


def test_list_looks_in_the_data_folder(cli: Cli, tmp_path: Path) -> None:
    sign = tmp_path / "d" / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main" / "test.txt"
    sign.parent.mkdir(parents=True)
    sign.write_text("000001\n")
    done = cli("data", "list", "--json", env={"ZSPROMPT_DATA": str(tmp_path / "d")})
    facts = json.loads(done.stdout)
    assert facts["root"] == str(tmp_path / "d")
    entries = {entry["name"]: entry for entry in facts["datasets"]}
    assert set(entries) >= set(DATASETS)
    assert (entries["voc"]["here"], entries["voc"]["lists_here"]) == (True, ["test"])
    assert (entries["voc2012"]["here"], entries["voc2012"]["bytes"]) == (False, 1_999_639_040)
    assert entries["coco"]["unverified"]
    assert entries["nus-wide"]["bytes"] is None


def test_every_known_set_is_a_data_set() -> None:
    assert set(CATALOGUE) <= set(DATASETS)


# -- check


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Your own images, as in the recipe: a folder, and a CSV."""
    root = tmp_path / "photos"
    refs = draw_files(root, [("cat",), ("dog",), ("cat", "dog"), ()])
    rows = [f"{ref.id},{labels}" for ref, labels in zip(refs, ["cat", "dog", "cat|dog", ""], strict=True)]
    (root / "labels.csv").write_text("\n".join(["image,labels", *rows, ""]))
    return root


def test_check_of_your_own_images(cli: Cli, photos: Path) -> None:
    done = cli("data", "check", "folder", "--root", photos)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "photos all: 4 images, 1 without any label; 2 labels",
        "label  positives",
        "cat            2",
        "dog            2",
        "",
        "4 images read: 0 missing, 0 unreadable, 0 duplicated; 0 other images in no split",
    ]


RECIPE = """
cd photos
echo image,labels > labels.csv && ls *.png | sed 's/$/,/' >> labels.csv
sed -e 's/^0000.png,/&cat/' -e 's/^0001.png,/&cat|dog/' labels.csv > new && mv new labels.csv
zsprompt data check folder --root .
zsprompt run --strategy top-all --dataset folder --root . --model fakes:PlantedEncoder --json
"""


def test_the_recipe_for_your_own_images(tmp_path: Path) -> None:
    """The README's five lines; its third is the person who writes labels behind the commas."""
    draw_files(tmp_path / "photos", [("cat",), ("cat", "dog"), ()])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", RECIPE], cwd=tmp_path, env=environment() | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    checked, ran = done.stdout.split("in no split\n")
    assert "photos all: 3 images, 1 without any label; 2 labels" in checked
    assert json.loads(ran)["mAP"] == 1.0


def test_check_names_what_to_mend(cli: Cli, photos: Path) -> None:
    (photos / "0000.png").rename(photos / "0000.PNG")
    (photos / "0001.png").write_bytes(b"oops")
    with (photos / "labels.csv").open("a") as file:
        file.write("0009.png,Cat\n")
    draw(["sofa"]).save(photos / "0009.png")
    (photos / "0003.png").write_bytes((photos / "0002.png").read_bytes())
    done = cli("data", "check", "folder", "--root", photos)
    assert done.returncode == 1
    for line in (
        f"missing: 0000.png (perhaps {photos}/0000.PNG)",
        "unreadable: 0001.png: not an image in a known format",
        "same content: 0002.png, 0003.png (their labels differ)",
        f"in no split: {photos}/0000.PNG",
    ):
        assert line in done.stdout.splitlines()
    assert one_line(done.stderr) == (
        "error: expected folder to be complete, found 1 image missing; 1 image unreadable; 1 image duplicated with "
        "different labels; labels that look alike: 'Cat', 'cat'. To fix it: correct the file names or add the images; "
        "replace the unreadable images; give duplicates the same labels, or remove them; spell each label in one way; "
        "`zsprompt run --skip-bad` excludes missing and unreadable images"
    )


def test_check_json_is_one_object_and_names_all(cli: Cli, photos: Path) -> None:
    for n in range(4):
        (photos / f"000{n}.png").unlink()
    for n in range(20):
        draw(["cat"], noise=n + 1).save(photos / f"more{n}.png")
    done = cli("data", "check", "folder", "--root", photos, "--json")
    facts = json.loads(done.stdout)
    assert done.returncode == 1
    assert len(facts["in_no_list"]) == 20
    assert facts["missing"] == [{"picture": f"000{n}.png", "perhaps": None} for n in range(4)]
    assert facts["faults"] == ["4 images missing"]
    assert facts["lists"][0]["positives"] == {"cat": 2, "dog": 2}
    text = cli("data", "check", "folder", "--root", photos).stdout
    assert "in no split: and 10 more; --json names all" in text


def test_check_quick_reads_no_image(cli: Cli, photos: Path) -> None:
    (photos / "0001.png").write_bytes(b"oops")
    done = cli("data", "check", "folder", "--root", photos, "--quick")
    assert done.returncode == 0
    assert "4 images looked for: 0 missing" in done.stdout


def test_a_labels_file_that_cannot_be_read_is_one_line(cli: Cli, photos: Path) -> None:
    (photos / "labels.csv").write_text("image,cat,dog\n0000.png,1\n")
    done = cli("data", "check", "folder", "--root", photos)
    assert (done.returncode, done.stdout) == (1, "")
    assert "line 2: expected 3 columns, found 2" in one_line(done.stderr)


def test_check_prints_odd_names_on_one_line(cli: Cli, photos: Path) -> None:
    (photos / "line\nbreak.png").write_bytes(b"x")
    done = cli("data", "check", "folder", "--root", photos)
    assert "in no split: " + str(photos / "line\\nbreak.png") in done.stdout.splitlines()


def test_check_of_scenes_needs_no_files(cli: Cli) -> None:
    done = cli("data", "check", "scenes", "--quick")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("scenes test: 1,000 images, ")


def test_check_of_real_photos(cli: Cli, test_data: Path) -> None:
    done = cli("data", "check", "voc", "--root", test_data)
    assert done.returncode == 1
    assert "voc2007 test: 500 images, published 4,952; 20 labels" in done.stdout
    assert "person             199       2007         8" in done.stdout
    assert "500 images read: 0 missing, 0 unreadable, 0 duplicated; 0 other images in no split" in done.stdout
    assert "not present, so not checked: trainval" in done.stderr
    again = f"`zsprompt data fetch voc --again --root {test_data}` downloads it again; for images of your own use"
    assert f"test has 500 images, but 4,952 are published. {again} --dataset voc-xml" in done.stderr


def test_check_of_what_is_not_there(cli: Cli, tmp_path: Path) -> None:
    done = cli("data", "check", "voc", env={"ZSPROMPT_DATA": str(tmp_path)})
    assert "`zsprompt data fetch voc` downloads it (911 MB)" in one_line(done.stderr)
    assert "Did you mean 'voc'?" in one_line(cli("data", "check", "vco").stderr)


@pytest.mark.parametrize("name", DATASETS)
def test_check_of_a_small_one_of_every_kind(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whole but for the published counts."""
    MAKERS[name](tmp_path)
    monkeypatch.setitem(scenes._SIZES, "test", 3)
    done = command("data", "check", name, "--json", *([] if name == "scenes" else ["--root", tmp_path]))
    facts = json.loads(done.stdout)
    assert facts["pictures"] >= max(found["pictures"] for found in facts["lists"]) > 0
    assert (facts["missing"], facts["unreadable"], facts["in_several_lists"], facts["labels_alike"]) == ([], [], [], [])
    contrary = any(double["labels_differ"] for double in facts["doubles"])
    assert bool(facts["faults"]) == (name in CATALOGUE or contrary)
    assert done.exit_code == bool(facts["faults"])
    assert facts["in_no_list"] == []


OWN = [name for name in DATASETS if name not in (*CATALOGUE, "scenes")]


def damaged_small_one(name: str, root: Path) -> None:
    """A small data set, one of whose files is no image and no tar any more."""
    MAKERS[name](root)
    path = next(path for path in sorted(root.rglob("*")) if path.suffix in (".png", ".jpg", ".JPEG", ".tar"))
    path.write_bytes(b"x")


@pytest.mark.parametrize("name", OWN)
def test_check_never_advises_to_fetch_files_of_your_own(command: Command, tmp_path: Path, name: str) -> None:
    damaged_small_one(name, tmp_path)
    done = command("data", "check", name, "--root", tmp_path)
    assert done.exit_code == 1
    assert "fetch" not in done.stdout + done.stderr
    assert name == "shards" or "To fix it: replace the unreadable images" in done.stderr


@pytest.mark.parametrize("name", CATALOGUE)
def test_check_of_an_official_layout_in_a_folder_of_yours_names_both_ways(
    command: Command, tmp_path: Path, name: str
) -> None:
    MAKERS[name](tmp_path)
    done = command("data", "check", name, "--root", tmp_path)
    own = f"for images of your own use --dataset {CATALOGUE[name].own}"
    assert own in " ".join(done.stderr.split())
    if CATALOGUE[name].size:
        assert f"`zsprompt data fetch {name} --again --root {tmp_path}` downloads it again" in done.stderr
    assert CATALOGUE[name].own in OWN


# -- run names the way to get it


@pytest.mark.parametrize("folder", ["missing", "."])
@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("voc", "`zsprompt data fetch voc` downloads it (911 MB)"),
        ("voc2012", "`zsprompt data fetch voc2012` downloads it (2 GB)"),
        ("coco", "`zsprompt data fetch coco` downloads it (20.4 GB)"),
        ("nus-wide", "fill in the form at"),
        ("kaggle10", "download it by hand at"),
    ],
)
def test_run_without_the_data_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, name: str, way: str
) -> None:
    from zsprompt.data import load_dataset
    from zsprompt.errors import DataError

    monkeypatch.setenv("ZSPROMPT_DATA", str(tmp_path / folder))
    with pytest.raises(DataError) as caught:
        load_dataset(name)
    assert way in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(DataError) as caught:
        load_dataset(name, root=tmp_path / folder)
    assert way not in str(caught.value)


def test_what_is_here_but_broken_is_not_said_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zsprompt.data import load_dataset
    from zsprompt.errors import DataError

    monkeypatch.setenv("ZSPROMPT_DATA", str(tmp_path))
    for name, content in TEST.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "VOCdevkit" / "VOC2007" / "Annotations" / "000001.xml").write_text("<annotation>")
    with pytest.raises(DataError) as caught:
        load_dataset("voc")
    assert "000001.xml" in str(caught.value)
    assert "fetch" not in str(caught.value)


def test_a_list_that_was_not_fetched_names_the_command_too(
    server: FileServer, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZSPROMPT_DATA", str(tmp_path))
    command("data", "fetch", "voc", "--split", "test")
    run = ("run", "--strategy", "top-all", "--dataset", "voc", *PLANTED)
    done = command(*run, "--split", "trainval")
    assert one_line(done.stderr).endswith("; `zsprompt data fetch voc --split trainval` downloads it")
    typo = one_line(command(*run, "--split", "tset").stderr)
    assert "Did you mean 'test'?" in typo
    assert "data fetch" not in typo
    command("data", "fetch", "voc")
    assert "not present" not in command(*run, "--split", "trainval").stderr


def test_run_without_a_root_names_the_command(cli: Cli, tmp_path: Path) -> None:
    done = cli(
        *("run", "--strategy", "top-all", "--dataset", "voc", *PLANTED), env={"ZSPROMPT_DATA": str(tmp_path / "none")}
    )
    assert done.returncode == 1
    assert "`zsprompt data fetch voc` downloads it" in one_line(done.stderr)


# -- fetch: the command in this process, so that its data set may be a small one


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    quick_connections(monkeypatch, tmp_path_factory.mktemp("certificate"))
    with FileServer(dict(TARS)) as found:
        monkeypatch.setitem(CATALOGUE, "voc", voc_entry(found))
        yield found


@pytest.fixture
def command() -> Command:
    from zsprompt.cli import app

    def run(*args: object) -> Result:
        result = CliRunner().invoke(app, [str(arg) for arg in args])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def test_fetch_check_run(server: FileServer, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From nothing to a number, with ZSPROMPT_DATA alone."""
    monkeypatch.setenv("ZSPROMPT_DATA", str(tmp_path / "data"))
    done = command("data", "fetch", "voc")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'data' / 'VOCdevkit'}: voc test, trainval\n"
    assert "Licence: photos from Flickr" in done.stderr
    assert "not verified: its addresses, which could not be reached" in done.stderr
    checked = command("data", "check", "voc")
    assert checked.exit_code == 0, checked.stderr
    assert "voc2007 test: 2 images, published 2; 20 labels" in checked.stdout
    assert "voc2007 trainval: 1 image, published 1; 20 labels" in checked.stdout
    assert "present: test, trainval" in command("data", "list").stdout
    ran = command("run", "--strategy", "per-label", "--dataset", "voc", *PLANTED, "--json")
    assert json.loads(ran.stdout)["images"] == 2


def test_fetch_again_says_that_it_is_here(server: FileServer, command: Command, tmp_path: Path) -> None:
    for _ in range(2):
        done = command("data", "fetch", "voc", "--root", tmp_path)
        assert done.exit_code == 0
    assert "already present; --again fetches it again" in done.stderr
    assert len(server.asked) == 2
    assert command("data", "fetch", "voc", "--root", tmp_path, "--again").exit_code == 0
    assert len(server.asked) == 4


def test_fetch_of_one_list(server: FileServer, command: Command, tmp_path: Path) -> None:
    done = command("data", "fetch", "voc", "--root", tmp_path, "--split", "trainval")
    assert done.stdout == f"{tmp_path / 'VOCdevkit'}: voc trainval\n"
    assert tree(tmp_path) == TRAINVAL


def test_check_looks_only_at_what_was_fetched(
    server: FileServer, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COCO's annotations name train's images also where only val's were fetched."""
    monkeypatch.setenv("ZSPROMPT_DATA", str(tmp_path))
    make_coco(tmp_path / "coco")
    make_coco(tmp_path / "coco", split="train", photos=False)
    done = command("data", "check", "coco")
    assert "4 images read: 0 missing" in done.stdout
    assert "not present, so not checked: train" in done.stderr
    missing = json.loads(command("data", "check", "coco", "--split", "train", "--json").stdout)
    assert len(missing["missing"]) == 4


def test_check_of_one_list_does_not_call_the_others_images_extra(
    server: FileServer, command: Command, tmp_path: Path
) -> None:
    command("data", "fetch", "voc", "--root", tmp_path)
    done = command("data", "check", "voc", "--root", tmp_path, "--split", "test")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "2 images read: 0 missing, 0 unreadable, 0 duplicated"
    assert (
        json.loads(command("data", "check", "voc", "--root", tmp_path, "--split", "test", "--json").stdout)[
            "in_no_list"
        ]
        is None
    )


def test_fetch_from_elsewhere(server: FileServer, command: Command, tmp_path: Path) -> None:
    done = command("data", "fetch", "voc", "--root", tmp_path, "--from", f"{server.url}/mirror")
    assert done.exit_code == 0, done.stderr
    assert [path for path, _ in server.asked] == ["/mirror/test.tar", "/mirror/trainval.tar"]


def test_a_failed_fetch_is_one_line_and_exit_1(server: FileServer, command: Command, tmp_path: Path) -> None:
    server.replies += [Reply(body=b"<html><title>Sign in to the hotel</title>")]
    done = command("data", "fetch", "voc", "--root", tmp_path / "data")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "found a web page 'Sign in to the hotel'" in one_line(done.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nus-wide", "found NUS-WIDE: its authors provide it on request"),
        ("kaggle10", "Kaggle requires you to sign in"),
        ("folder", "data set folder has nothing to fetch"),
        ("scenes", "data set scenes has nothing to fetch"),
        ("vco", "Did you mean 'voc'?"),
    ],
)
def test_what_cannot_be_fetched(command: Command, tmp_path: Path, name: str, reason: str) -> None:
    done = command("data", "fetch", name, "--root", tmp_path / "data")
    assert done.exit_code == 1
    assert reason in one_line(done.stderr)
    assert list(tmp_path.iterdir()) == []
