"""predict --show: one annotated image per image, whatever their names, faults and number."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import Cli, command, environment, one_line
from fakes import LABELS, draw_files
from PIL import Image, ImageColor
from trees import save_image, tar, write

from zsprompt._utils.file_kinds import ANNOTATED_IMAGE
from zsprompt.evaluation import predict as prediction
from zsprompt.report import fonts
from zsprompt.report.annotation import COLOURS

SETS = [("cat",), ("dog", "cat"), (), ("dog",)]
PREDICT = ["--labels", "cat, dog", "--strategy", "fakes:Windowed", "--model", "fakes:PlantedEncoder"]


def index(folder: Path) -> list[list[str]]:
    with (folder / "index.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))[1:]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def near(pixel: np.ndarray, colour: str) -> bool:
    """Whether a pixel of a JPEG has a colour, nearly."""
    return int(np.abs(pixel.astype(int) - ImageColor.getrgb(colour)).max()) < 40


def test_each_image_is_shown_with_its_windows(cli: Cli, tmp_path: Path) -> None:
    draw_files(tmp_path / "photos", SETS)
    done = cli("predict", "photos", *PREDICT, "--show", "new/shown", "--out", "o.csv")
    assert done.returncode == 0, done.stderr
    assert "4 images, 2 labels, model planted; scores in o.csv; annotated images in new/shown" in done.stderr
    shown = tmp_path / "new/shown"
    assert names(shown) == ["1-0000.jpg", "2-0001.jpg", "3-0002.jpg", "4-0003.jpg", "index.csv"]
    assert index(shown) == [[f"{n + 1}-000{n}.jpg", f"photos/000{n}.png"] for n in range(4)]
    both = pixels(shown / "2-0001.jpg")
    assert both.shape == (512, 512, 3)
    end = 512 * 7 // 16  # of the first window; the next starts 3 places further to the right
    left, top = int(512 * 3 / 16) + 1, end - 2
    assert near(both[end - 30, end - 2], COLOURS[0]) or near(both[end - 30, end - 2], COLOURS[1])
    assert near(both[top, left + 30], COLOURS[0]) or near(both[top, left + 30], COLOURS[1])
    blank = pixels(shown / "3-0002.jpg")
    assert blank.shape[0] > 512  # says that there is no label
    assert blank[20:500].max() < 60


def test_without_windows_the_labels_alone_are_shown(cli: Cli, tmp_path: Path) -> None:
    draw_files(tmp_path / "photos", SETS)
    done = cli("predict", "photos", *PREDICT[:2], *PREDICT[4:], "--show", "shown")
    assert done.returncode == 0, done.stderr
    assert "photos/0000.png  cat" in done.stdout
    assert all(len(pixels(tmp_path / f"shown/{n + 1}-000{n}.jpg")) > 512 for n in range(4))


def test_json_has_a_box_per_predicted_label(cli: Cli, tmp_path: Path) -> None:
    draw_files(tmp_path / "photos", SETS)
    facts = json.loads(cli("predict", "photos", *PREDICT, "--json", "--show", "shown").stdout)
    assert [one["boxes"] for one in facts["predictions"]] == [
        {label: [3 * c / 16, 0, (3 * c + 7) / 16, 7 / 16] for c, label in enumerate(("cat", "dog")) if label in present}
        for present in SETS
    ]
    assert (tmp_path / "shown/index.csv").exists()
    plain = json.loads(cli("predict", "photos", *PREDICT[:2], *PREDICT[4:], "--json").stdout)
    assert all("boxes" not in one for one in plain["predictions"])


def test_images_of_one_name_in_folders_tars_and_lists_are_kept_apart(cli: Cli, tmp_path: Path) -> None:
    image = save_image(tmp_path / "a/dog.png").read_bytes()
    for place in ("a/b/dog.png", "a/dog.jpg", "c/DOG.PNG", "d/dog.png"):
        write(tmp_path / place, image)
    tar(tmp_path / "x.tar", [("one/dog.png", image), ("two/dog.png", image)])
    write(tmp_path / "l.csv", "image\nd/dog.png\n")
    done = cli("predict", "a", "c/DOG.PNG", "x.tar", "l.csv", *PREDICT, "--show", "shown")
    assert done.returncode == 0, done.stderr
    files = names(tmp_path / "shown")
    assert files == [
        "1-dog.jpg",
        "2-dog.jpg",
        "3-dog.jpg",
        "4-DOG.jpg",
        *(f"{n}-dog.jpg" for n in (5, 6, 7)),
        "index.csv",
    ]
    assert [one for _, one in index(tmp_path / "shown")] == [
        *("a/b/dog.png", "a/dog.jpg", "a/dog.png", "c/DOG.PNG", "x.tar/one/dog.png", "x.tar/two/dog.png", "d/dog.png")
    ]


def test_odd_names_become_names_of_files(cli: Cli, tmp_path: Path) -> None:
    odd = [
        'a"<b>:*?.png',
        "x" * 250 + ".png",
        "ünï 犬.png",
        "a\nb\x07.png",
        "x..png.png",
        os.fsdecode(b"latin-\xe9.png"),
    ]
    for n, name in enumerate(odd):
        save_image(tmp_path / "photos" / name, noise=n)
    done = cli("predict", "photos", *PREDICT, "--show", "shown")
    assert done.returncode == 0, done.stderr
    files = [name.partition("-")[2] for name in names(tmp_path / "shown") if name != "index.csv"]
    assert len(files) == len(odd)
    assert {"a__b____.jpg", "x" * 120 + ".jpg", "ünï 犬.jpg", "a_b_.jpg", "x..png.jpg", "latin-_.jpg"} == set(files)


def test_numbers_keep_the_order_over_all_parts(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "PART", 4)
    draw_files(tmp_path / "photos", [("cat",)] * 11)
    done = cli("predict", "photos", *PREDICT, "--show", "shown")
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "shown")[:-1] == [f"{n + 1:02}-{n:04}.jpg" for n in range(11)]


def test_the_rotation_of_a_photo_is_applied(cli: Cli, tmp_path: Path) -> None:
    image = Image.new("RGB", (600, 900), "white")
    image.paste("blue", (0, 0, 600, 100))  # the upper edge of what is stored is the right one of what is seen
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    done = cli("predict", "a.jpg", *PREDICT, "--show", "shown")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "shown/1-a.jpg") as shown:
        assert shown.width == 900
        assert not shown.getexif().get(0x0112)
        assert near(np.asarray(shown)[300, 850], "#0000ff")


def test_a_label_that_no_font_can_draw_is_shown_by_number_and_said_once(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fonts, "_system_files", tuple)
    monkeypatch.setattr(prediction, "PART", 2)
    draw_files(tmp_path / "photos", SETS)
    words = ["--labels", "cat, dog, 鼬", *PREDICT[2:]]
    done = cli("predict", "photos", *words, "--show", "shown")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("no font on this machine can draw 1 label") == 1
    assert "by number (label 3: 鼬)" in done.stderr


# faults


def test_bad_images_are_named_and_the_others_are_shown(cli: Cli, tmp_path: Path) -> None:
    draw_files(tmp_path / "photos", SETS)
    (tmp_path / "photos/0001.png").write_bytes(b"broken")
    done = cli("predict", "photos", *PREDICT, "--show", "shown")
    assert done.returncode == 1
    assert "cannot read photos/0001.png: not an image in a known format" in done.stderr
    assert names(tmp_path / "shown") == ["1-0000.jpg", "2-0002.jpg", "3-0003.jpg", "index.csv"]


def test_an_image_that_is_gone_when_it_is_drawn_is_named(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_files(tmp_path / "photos", SETS)
    predicted = prediction._predicted

    def then_gone(*args: object) -> object:
        answer = predicted(*args)  # type: ignore[arg-type]
        (tmp_path / "photos/0002.png").unlink()
        return answer

    monkeypatch.setattr(prediction, "_predicted", then_gone)
    done = cli("predict", "photos", *PREDICT, "--show", "shown", "--out", "o.csv")
    assert done.returncode == 1
    assert "cannot annotate photos/0002.png: No such file or directory" in done.stderr
    assert names(tmp_path / "shown") == ["1-0000.jpg", "2-0001.jpg", "4-0003.jpg", "index.csv"]
    assert (tmp_path / "o.csv").read_text().count("\n") == 5


def test_an_earlier_output_is_replaced_whole_and_other_files_stay(cli: Cli, tmp_path: Path) -> None:
    draw_files(tmp_path / "photos", [("cat",)] * 12)
    words = [*PREDICT, "--show", "shown"]
    assert cli("predict", "photos", *words).returncode == 0
    for name in ("notes.txt", "holiday.jpg", "2024.jpg"):
        write(tmp_path / "shown" / name, "mine")
    assert len(names(tmp_path / "shown")) == 16
    done = cli("predict", "photos/0003.png", *words)
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "shown") == ["1-0003.jpg", "2024.jpg", "holiday.jpg", "index.csv", "notes.txt"]


def test_a_failed_command_keeps_an_earlier_output(cli: Cli, tmp_path: Path) -> None:
    draw_files(tmp_path / "photos", SETS)
    words = [*PREDICT, "--show", "shown"]
    assert cli("predict", "photos", *words).returncode == 0
    before = names(tmp_path / "shown")
    write(tmp_path / "bad.png", "broken")
    assert cli("predict", "bad.png", *words).returncode == 1
    assert names(tmp_path / "shown") == before


@pytest.mark.parametrize("force", [[], ["--force"]])
@pytest.mark.parametrize("show", ["photos", "photos/new", "photos/../photos/x/y", "link/z", "."])
def test_a_folder_among_the_images_is_refused(show: str, force: list[str], cli: Cli, tmp_path: Path) -> None:
    draw_files(tmp_path / "photos", SETS)
    (tmp_path / "link").symlink_to("photos")
    before = sorted(tmp_path.rglob("*"))
    done = cli("predict", "." if show == "." else "photos", *PREDICT, "--show", show, *force)
    assert done.returncode == 1
    assert "expected a folder outside of" in one_line(done.stderr)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", ["image", "tar", "list"])
def test_an_image_that_is_read_is_not_replaced(kind: str, cli: Cli, tmp_path: Path) -> None:
    """Not even an annotated image, which the next output would replace."""
    draw_files(tmp_path / "photos", SETS)
    assert cli("predict", "photos", *PREDICT, "--show", "shown").returncode == 0
    image = tmp_path / "shown/1-0000.jpg"
    if kind == "tar":
        tar(tmp_path / "x.tar", [("a.jpg", image.read_bytes())])
        (tmp_path / "shown/5-x.jpg").symlink_to(tmp_path / "x.tar")
    write(tmp_path / "l.csv", "image\nshown/1-0000.jpg\n")
    given = {"image": "shown/1-0000.jpg", "tar": "x.tar", "list": "l.csv"}[kind]
    before = {path: path.read_bytes() for path in (tmp_path / "shown").iterdir()}
    done = cli("predict", given, *PREDICT, "--show", "shown", "--force")
    assert done.returncode == 1
    assert "expected a folder without images that are read" in one_line(done.stderr)
    assert {path: path.read_bytes() for path in (tmp_path / "shown").iterdir()} == before


def test_a_file_in_place_of_the_folder_and_places_that_collide_are_refused(cli: Cli, tmp_path: Path) -> None:
    draw_files(tmp_path / "photos", SETS)
    write(tmp_path / "file", "mine")
    assert "cannot write folder file" in one_line(cli("predict", "photos", *PREDICT, "--show", "file").stderr)
    for out in ("shown", "shown/index.csv", "photos/../shown"):
        done = cli("predict", "photos", *PREDICT, "--show", "shown", "--out", out)
        assert "to name different places" in one_line(done.stderr)
    assert not (tmp_path / "shown").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_one_line(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_files(tmp_path / "photos", SETS)
    save = Image.Image.save

    def full(self: Image.Image, path: object, *args: object, **named: object) -> None:
        save(self, Path("/dev/full"), *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "save", full)
    done = cli("predict", "photos", *PREDICT, "--show", "shown")
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "No space left on device" in errors[0]
    assert "choose another place with --show" in errors[0]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "shown").exists()


def test_a_command_that_prints_takes_no_force(cli: Cli, tmp_path: Path) -> None:
    draw_files(tmp_path / "photos", SETS)
    done = cli("predict", "photos", *PREDICT, "--force")
    assert "predict without --out and --show does not use --force" in one_line(done.stderr)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("ended", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_command_leaves_whole_images_and_no_index(ended: signal.Signals, cli: Cli, tmp_path: Path) -> None:
    """Each visible file is whole. The same command replaces them all."""
    draw_files(tmp_path / "photos", [LABELS[n % 8 :] for n in range(400)])
    line = ["predict", "photos", *PREDICT, "--show", "shown"]
    with subprocess.Popen(command(*line), cwd=tmp_path, env=environment(), stdout=-1, stderr=-1) as process:
        while len(list((tmp_path / "shown").glob("*.jpg"))) < 20:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(ended)
        process.communicate(timeout=60)
    left = list((tmp_path / "shown").glob("*.jpg"))
    assert 20 <= len(left) < 400
    for path in left:
        pixels(path)
        assert ANNOTATED_IMAGE.recognises(path)
    assert not (tmp_path / "shown/index.csv").exists()
    done = cli(*line)
    assert done.returncode == 0, done.stderr
    assert len(index(tmp_path / "shown")) == 400
    assert len(list((tmp_path / "shown").glob("*.jpg"))) == 400
