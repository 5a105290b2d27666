"""The real command line, end to end in the planted world."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from command_line import Cli, command, environment, one_line
from fakes import LABELS, draw, draw_files

PLANTED = ("--model", "fakes:PlantedEncoder")
SETS = [("cat",), ("dog", "car"), (), ("person", "sofa"), ("sofa",), ("cycle",), ("carrot", "cat"), ("motorcycle",)]

TOP_LEVEL = {
    *("mAP", "mAP_interval", "ap", "seed_mAP", "seed_mAP_nothing", "chance", "sample_f1", "micro_f1", "macro_f1"),
    *("images", "labels", "texts_encoded", "texts_cached", "images_encoded", "images_cached"),
    *("overflowed", "skipped", "seconds", "recipe"),
}
RECIPE = {"strategy", "prompts", "model", "fingerprint", "dataset", "split", "names", "difficult", "versions"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Eight drawn pictures with a labels CSV in 0/1 columns."""
    folder = tmp_path / "photos"
    draw_files(folder, SETS)
    rows = [[f"{i:04}.png", *(int(label in present) for label in LABELS)] for i, present in enumerate(SETS)]
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", *LABELS], *rows])
    return folder


def run_on(photos: Path, *options: object) -> list[object]:
    return ["run", "--strategy", "top-all", "--dataset", "folder", "--root", photos, *PLANTED, *options]


# -- run ---------------------------------------------------------------------------------------------------------


def test_run_is_right_and_its_json_has_the_promised_keys(photos: Path, cli: Cli) -> None:
    done = cli(*run_on(photos, "--json"))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result) >= TOP_LEVEL
    assert set(result["recipe"]) >= RECIPE
    assert (result["mAP"], result["micro_f1"], result["seed_mAP"]) == (1.0, 1.0, 1.0)
    assert result["sample_f1"] == pytest.approx(7 / 8)  # 0/0 is 0: the picture with nothing on it
    assert result["ap"] == dict.fromkeys(LABELS, 1.0)
    assert (result["images"], result["labels"], result["images_encoded"]) == (8, 8, 8)
    assert result["recipe"]["dataset"] == "photos"
    assert "TopAll(" in result["recipe"]["strategy"]
    assert result["positives"]["sofa"] == 2


def test_a_second_run_encodes_nothing_and_says_the_same(photos: Path, cli: Cli) -> None:
    first, second = (json.loads(cli(*run_on(photos, "--json", "--cache", "c")).stdout) for _ in range(2))
    assert (second["images_encoded"], second["texts_encoded"]) == (0, 0)
    assert second["images_cached"] == 8
    same = TOP_LEVEL - {"seconds", "texts_encoded", "texts_cached", "images_encoded", "images_cached"}
    assert {key: first[key] for key in same} == {key: second[key] for key in same}


def test_the_out_folder_holds_recipe_scores_and_classes(photos: Path, cli: Cli, tmp_path: Path) -> None:
    printed = cli(*run_on(photos, "--out", "results/here", "--json"))
    out = tmp_path / "results/here"
    assert sorted(p.name for p in out.iterdir()) == ["per_class.csv", "result.json", "scores.csv"]
    assert json.loads((out / "result.json").read_text()) == {"zsprompt": "result"} | json.loads(printed.stdout)
    with (out / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["labels"] for row in rows] == ["|".join(x for x in LABELS if x in present) for present in SETS]
    assert [row["labels"] for row in rows] == [row["true"] for row in rows]
    assert all(np.isfinite(float(row[label])) for row in rows for label in LABELS)
    with (out / "per_class.csv").open(newline="") as file:
        classes = {row["label"]: row for row in csv.DictReader(file)}
    assert (classes["sofa"]["ap"], classes["sofa"]["positives"], classes["sofa"]["f1"]) == ("1", "2", "1")


def test_the_table_puts_headline_numbers_last(photos: Path, cli: Cli) -> None:
    done = cli(*run_on(photos, "--eleven-point"))
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["label", "AP", "positives", "precision", "recall", "F1"]
    assert {line.split()[0] for line in lines[1:9]} == set(LABELS)
    assert any(line.startswith("mAP        100.0   95 % interval") and "chance" in line for line in lines)
    assert any(line.startswith("11-point   100.0") for line in lines)
    assert "fewer than 50 positives" in done.stderr
    assert json.loads(cli(*run_on(photos, "--json")).stdout)["mAP_11_point"] == 1.0


def test_labels_without_positives_have_no_ap_and_are_named(photos: Path, cli: Cli) -> None:
    done = cli(*run_on(photos, "--dataset", "folder,limit=3", "--json"))
    result = json.loads(done.stdout)
    assert (result["images"], result["recipe"]["split"]) == (3, "all[:3]")
    assert {label for label, value in result["ap"].items() if value is None} == set(LABELS) - {"cat", "dog", "car"}
    assert "no positives for person, motorcycle, cycle, carrot, sofa: these labels have no AP" in done.stderr


@pytest.mark.parametrize("strategy", ["per-label", "yes-or-no", "list-all", "normalised:per-label"])
def test_every_strategy_runs(photos: Path, cli: Cli, strategy: str) -> None:
    options = ("--dataset", "folder", "--root", photos, *PLANTED, "--json")
    result = json.loads(cli("run", "--strategy", strategy, *options).stdout)
    assert result["mAP"] == 1.0


def test_own_prompts(photos: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[set]\ntext = "a photo of {labels}"\nitem = "{a_label}"\n')
    result = json.loads(cli(*run_on(photos, "--prompts", "mine.toml", "--json")).stdout)
    assert result["mAP"] == 1.0
    assert result["recipe"]["prompts"][0].startswith("mine ")


def test_bad_pictures_refuse_the_run_and_are_all_listed(photos: Path, cli: Cli) -> None:
    (photos / "0001.png").write_bytes(b"")
    (photos / "0002.png").write_bytes(b"<html>")
    (photos / "0003.png").unlink()
    done = cli(*run_on(photos))
    assert (done.returncode, done.stdout) == (1, "")
    message = one_line(done.stderr)
    assert "3 of 8 images cannot be read" in message
    for part in ("0001.png: empty file", "0002.png: an HTML page", "0003.png: No such file", "--skip-bad"):
        assert part in message
    skipping = cli(*run_on(photos, "--skip-bad", "--json"))
    result = json.loads(skipping.stdout)
    assert (result["images"], result["skipped"]) == (5, 3)
    assert result["skipped_images"]["0001.png"] == "empty file"
    assert "left out 0002.png" in skipping.stderr


# -- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--strategy", "topall"], "unknown strategy 'topall'. Did you mean 'top-all'?"),
        (["--dataset", "foldr"], "Did you mean 'folder'?"),
        (["--model", "ViT-B32"], "Did you mean 'ViT-B/32'?"),
        (["--model", "no/such/file.pt"], "found nothing"),
        (["--model", "open_clip:ViT-B32/openai"], "Did you mean 'ViT-B-32'?"),
        (["--prompts", "fotos"], "Did you mean 'photo'?"),
        (["--prompts", "no/such.toml"], "found none"),
        (["--prompts", "adds"], "has no [set]"),
        (["--root", "nowhere"], "in nowhere, found no such folder"),
        (["--split", "tset"], "expected a column 'split'"),
        (["--dataset", "voc", "--root", "nowhere"], "expected the VOC2007 folder"),
        (["--cache", "photos"], "expected an empty folder or a zsprompt cache in photos, found '0000.png'"),
        (["--cache", "photos/0000.png"], "cannot use cache folder"),
        (["--out", "photos/0000.png"], "cannot write folder"),
        (["--device", "cuda", "--model", "conse"], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_refusal_is_one_line_and_exit_1(photos: Path, cli: Cli, options: list[str], said: str | None) -> None:
    done = cli(*run_on(photos, *options))
    assert (done.returncode, done.stdout) == (1, "")
    message = one_line(done.stderr)
    assert said is None or said in message


@pytest.mark.parametrize(
    "arguments",
    [["run"], ["run", "--strategy", "top-all"], ["train", "--seeds", "0"], ["nonsense"], ["predict"], ["list", "x"]],
    ids=" ".join,
)
def test_usage_is_exit_2(cli: Cli, arguments: list[str]) -> None:
    done = cli(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_without_a_root_the_data_folder_is_named(cli: Cli, tmp_path: Path) -> None:
    missing = {"ZSPROMPT_DATA": str(tmp_path / "data")}
    done = cli("run", "--strategy", "top-all", "--dataset", "voc", *PLANTED, env=missing)
    assert f"in {tmp_path}/data, found no such folder" in one_line(done.stderr)


# -- predict -----------------------------------------------------------------------------------------------------


def test_predict_says_what_is_on_each_picture(photos: Path, cli: Cli) -> None:
    done = cli("predict", photos, "--labels", "cat, dog, person, sofa, car", *PLANTED)
    assert done.returncode == 0
    lines = {Path(line.split()[0]).name: line for line in done.stdout.splitlines()}
    assert len(lines) == 8
    assert " cat " in lines["0000.png"]
    assert " dog " not in lines["0000.png"]
    assert lines["0001.png"].count(",") == 1
    assert lines["0002.png"].endswith("–")
    assert "left out 1 file that is not an image" in done.stderr
    assert "8 images, 5 labels, model planted" in done.stderr


def test_predict_writes_decisions_and_scores(photos: Path, cli: Cli, tmp_path: Path) -> None:
    done = cli("predict", photos, "--labels", "cat,dog,person,sofa,car", *PLANTED, "--out", "predictions.csv", "--json")
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "labels", "error", "cat", "dog", "person", "sofa", "car"]
    assert rows[6]["labels"] == "cat"
    answer = json.loads(done.stdout)
    for row, said in zip(rows, answer["predictions"], strict=True):
        assert row["image"] == said["image"]
        assert sorted(filter(None, row["labels"].split("|"))) == sorted(said["labels"])
        assert all(float(row[label]) == pytest.approx(score, rel=1e-5) for label, score in said["scores"].items())
    assert answer["recipe"]["model"] == "planted"
    assert answer["errors"] == []


@pytest.mark.parametrize("labels", ["sofa", "sofa, dog", "sofa, dog, cat"])
def test_predict_with_few_words(photos: Path, cli: Cli, labels: str) -> None:
    answer = json.loads(cli("predict", photos, "--labels", labels, *PLANTED, "--json").stdout)
    with_sofa = {Path(p["image"]).name for p in answer["predictions"] if "sofa" in p["labels"]}
    assert with_sofa == {"0003.png", "0004.png"}


def test_predict_goes_on_after_bad_pictures_marks_them_and_exits_1(photos: Path, cli: Cli, tmp_path: Path) -> None:
    (photos / "0001.png").write_bytes(b"")
    (photos / "0005.png").write_bytes((photos / "0000.png").read_bytes()[:48])
    done = cli("predict", photos, "--labels", f"@{_labels_file(tmp_path)}", *PLANTED, "--out", "o.csv")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: expected 8 images that can be read, 2 cannot")
    assert "0001.png: empty file" in done.stderr
    assert "Traceback" not in done.stderr
    with (tmp_path / "o.csv").open(newline="") as file:
        rows = {Path(row["image"]).name: row for row in csv.DictReader(file)}
    assert len(rows) == 8
    assert rows["0001.png"]["error"] == "empty file"
    assert rows["0005.png"]["error"]
    assert rows["0001.png"]["cat"] == rows["0001.png"]["labels"] == ""
    assert rows["0000.png"]["labels"] == "cat"


def _labels_file(folder: Path) -> Path:
    path = folder / "words.txt"
    path.write_text("\ufeffcat\r\ndog\r\nperson\r\nsofa\r\n\r\n", encoding="utf-8")
    return path


def test_odd_file_names_survive(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    names = ["a b.png", "-x.png", "ünï.png", 'q"uote,comma.png', "new\nline.png", "日本.PNG"]
    raw = [*map(os.fsencode, names), b"latin-\xe9.png"]
    for name in raw:
        draw(["cat"]).save(Path(os.fsdecode(bytes(folder) + b"/" + name)), format="PNG")
    done = cli("predict", folder, "--labels", "cat,dog,person,sofa", *PLANTED, "--out", "odd.csv")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "odd.csv").open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        found = {os.fsencode(row["image"]).rsplit(b"/", 1)[1] for row in csv.DictReader(file)}
    assert found == set(raw)
    shown = cli("predict", folder, "--labels", "cat,dog,person,sofa", *PLANTED, env={"PYTHONIOENCODING": "ascii"})
    assert shown.returncode == 0, shown.stderr
    assert len(shown.stdout.splitlines()) == len(raw)
    assert len(json.loads(cli("predict", folder, "--labels", "cat", *PLANTED, "--json").stdout)["predictions"]) == 7


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "expected --labels"),
        (["--labels", ""], "expected a value for --labels, found an empty text"),
        (["--labels", "cat,,dog"], "blank one at position 2 of 3"),
        (["--labels", "cat, dog, Cat"], "expected each label once"),
        (["--labels", "@missing.txt"], "expected a labels file at missing.txt, found none"),
        (["--labels", "cat", "--threshold", "1", "--strategy", "top-all"], "decides without a threshold"),
        (["--labels", "cat", "--threshold", "nan"], "expected a finite number for --threshold"),
        (["--labels", "cat", "--threshold", "99"], "expected a cut between 0 and 1"),
        (["--labels", "cat", "--threshold", "1", "--strategy", "per-label,threshold=2"], "found --threshold 1 and"),
        (["--labels", "a\udcffb"], "bytes that are not"),
        (["--labels", "@/dev/zero"], "more than 16 MB"),
        (["--labels", "cat", "--out", "no/such/folder/x.csv"], "choose another place with --out"),
        (["--labels", "cat", "--out", "photos"], "found the folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_predict_refuses_in_one_line(photos: Path, cli: Cli, options: list[str], said: str) -> None:
    done = cli("predict", photos, *PLANTED, *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in one_line(done.stderr)


def test_predict_refuses_missing_and_empty_folders(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "found nothing there" in one_line(cli("predict", "nowhere", "--labels", "cat", *PLANTED).stderr)
    assert "found none: nothing" in one_line(cli("predict", "empty", "--labels", "cat", *PLANTED).stderr)


def test_the_threshold_option(photos: Path, cli: Cli) -> None:
    def yes(threshold: str) -> int:
        options = ("--labels", ",".join(LABELS), *PLANTED, "--threshold", threshold, "--json")
        return sum(len(p["labels"]) for p in json.loads(cli("predict", photos, *options).stdout)["predictions"])

    assert yes("1e-300") == 64 > yes("0.05") == 10 > yes("0.9")


@pytest.mark.parametrize("stream", ["| true", ">/dev/full", ">&-", "2>/dev/full", "2>&-"])
@pytest.mark.parametrize("what", ["predict", "list", "help"])
def test_a_closed_or_full_stream_is_no_traceback(photos: Path, stream: str, what: str) -> None:
    arguments = {
        "predict": ["predict", photos, "--labels", "cat", *PLANTED],
        "list": ["list", "models"],
        "help": ["--help"],
    }
    line = " ".join(f"'{part}'" for part in command(*arguments[what]))
    done = subprocess.run(["bash", "-c", f"{line} {stream}"], capture_output=True, text=True, env=environment())
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    if stream == ">/dev/full":
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("error: cannot")


def test_out_follows_links_and_writes_into_pipes(photos: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("image,labels,error,old\n")
    (tmp_path / "link.csv").symlink_to("real.csv")
    assert cli("predict", photos, "--labels", "cat", *PLANTED, "--out", "link.csv").returncode == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith("image,labels,error,cat\n")
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE, text=True)
    assert cli("predict", photos, "--labels", "cat", *PLANTED, "--out", "pipe").returncode == 0
    assert reader.communicate(timeout=60)[0] == (tmp_path / "real.csv").read_text()


def test_a_result_that_cannot_be_replaced_is_one_line(photos: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "out/result.json").mkdir(parents=True)
    done = cli(*run_on(photos, "--out", "out"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "expected a file name to write to, found the folder out/result.json" in one_line(done.stderr)


# -- list --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "some"),
    [
        ("strategies", {"per-label", "yes-or-no", "list-all", "top-all", "normalised:NAME"}),
        ("datasets", {"voc", "voc2012", "folder"}),
        ("prompts", {"bare", "photo", "seed-paper", "seed-code", "ensemble", "adds"}),
        ("models", {"ViT-B/32", "RN50", "conse"}),
    ],
)
def test_list_names_and_explains(cli: Cli, kind: str, some: set[str]) -> None:
    lines = cli("list", kind).stdout.splitlines()
    assert {line.split("  ")[0] for line in lines} >= some
    assert all(len(line.split("  ", 1)[1].strip()) > 10 for line in lines)


def test_version_and_help(cli: Cli) -> None:
    from zsprompt import __version__

    assert cli("--version").stdout == f"zsprompt {__version__}\n"
    assert "top-all" not in cli("--help").stderr
    assert all(word in cli("--help").stdout for word in ("run", "predict", "list", "cache"))


def test_help_keeps_its_brackets(cli: Cli) -> None:
    shown = " ".join(cli("run", "--help").stdout.split())
    for part in ("[WRAPPER:…]NAME[,field=value…]", "[SERVER:]MODEL[,field=value…]", "else ViT-B/32]"):
        assert part in shown


def test_an_adapter_brings_the_labels_it_was_trained_with(photos: Path, cli: Cli, tmp_path: Path) -> None:
    learn = ("--dataset", "folder", "--root", photos, *PLANTED, "--labels", "cat, dog, person")
    trained = cli("train", "--adapter", "knn,k=1", *learn, "--validation", "0", "--out", "adapter")
    assert trained.returncode == 0, trained.stderr
    done = cli("predict", photos, *PLANTED, "--strategy", "adapter:adapter", "--json")
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)["predictions"][0]["scores"]) == ["cat", "dog", "person"]
