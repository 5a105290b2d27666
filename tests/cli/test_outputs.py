"""Outputs of every command: never an input, never a file that zsprompt did not write, and no empty folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, completion, plain_connections, sighted
from click import Command
from command_line import Cli, command, environment, one_line
from fakes import draw_files
from typer.main import get_command

from zsprompt._utils.file_kinds import KINDS, RANDOM_BANK, kind_of
from zsprompt.adapters.adapter_file import FILE, save_adapter
from zsprompt.cli import app
from zsprompt.cli.app import COMMANDS
from zsprompt.experiments.spec import RunSpec
from zsprompt.report.of_training import FILES as TRAINING

MODEL = ["--model", "fakes:PlantedEncoder"]
SETS = [("cat",), ("dog", "cat"), ("dog",), (), ("cat",), ("dog",), ("cat", "dog"), ()]
DATA = ["--dataset", "folder", "--root", "photos", *MODEL]
SCENES = ["--dataset", "scenes,limit=12", *MODEL]


@dataclass(frozen=True)
class Case:
    """A command with an output.

    Attributes:
        words: the command without --out.
        out: the value of --out.
        files: every file that it writes, or deletes, where a user may have one.
        again: options with which it replaces its own output.
        server: whether it asks an LLM.
        flag: the option that names the output.
    """

    words: Sequence[str]
    out: str
    files: Sequence[str]
    again: Sequence[str] = ()
    server: bool = False
    flag: str = "--out"

    @property
    def command(self) -> str:
        return self.words[0]


RESULT = ("result.json", "scores.csv", "per_class.csv", "probabilities.csv", "windows.csv")
TRAIN = ["train", "--adapter", "linear-probe", *DATA, "--schedule", "epochs=1", "--validation", "0"]
CASES = {
    "predict": Case(["predict", "photos", "--labels", "cat, dog", *MODEL], "o.csv", ["o.csv"]),
    "predict, shown": Case(
        ["predict", "photos", "--labels", "cat, dog", "--strategy", "fakes:Windowed", *MODEL],
        "new/o",
        [*(f"new/o/{n}-000{n - 1}.jpg" for n in (1, 8)), "new/o/index.csv"],
        flag="--show",
    ),
    "run": Case(["run", "--strategy", "per-label", *DATA], "new/o", [f"new/o/{name}" for name in RESULT]),
    "ablate": Case(
        ["ablate", "--strategy", "per-label", "--strategy", "top-all", *DATA],
        "new/o",
        [f"new/o/ablation.{ending}" for ending in ("json", "csv", "md", "tex")],
    ),
    "thresholds of a data set": Case(["thresholds", *DATA, "--rule", "per-label,folds=2"], "o.json", ["o.json"]),
    "thresholds of images": Case(
        ["thresholds", "photos", "--labels", "cat, dog", *MODEL, "--expect", "1"], "o.json", ["o.json"]
    ),
    "report of a run": Case(["report", "done"], "o.html", ["o.html", "o-figures/average-precision.svg"]),
    "report of two runs": Case(["report", "done", "other"], "o.html", ["o.html", "o-figures/changes.svg"]),
    "report of an ablation": Case(["report", "table"], "o.html", ["o.html", "o-figures/rows.svg"]),
    "train": Case(TRAIN, "new/o", [f"new/o/{name}" for name in TRAINING], again=["--resume"]),
    "train with seeds": Case(
        [*TRAIN, "--seeds", "2", "--test", "all"],
        "new/o",
        [f"new/o/fraction-1-seed-{seed}/{name}" for seed in (0, 1) for name in ("training.csv", FILE, *RESULT)],
    ),
    "reproduce": Case(
        ["reproduce", "mmm-clip-1", "--on", "scenes", "--limit", "12"],
        "new/o",
        ["new/o/mmm-clip-1.md", "new/o/mmm-clip-1.json"],
    ),
    "caption-labels": Case(["caption-labels", *DATA], "o.jsonl", ["o.jsonl"], server=True),
    "caption-images": Case(["caption-images", "photos"], "o.csv", ["o.csv"], server=True),
    "random words": Case(["write-prompts", "random-words", "--labels", "cat, dog"], "o.toml", ["o.toml"]),
    "random captions": Case(["write-prompts", "random-words", "--like", "scenes"], "o.jsonl", ["o.jsonl"]),
    "sentences": Case(
        ["write-prompts", "sentences", "--labels", "cat, dog", "--sentences", "sentences.txt"], "o.toml", ["o.toml"]
    ),
    "descriptions": Case(["write-prompts", "descriptions", "--labels", "cat, dog"], "o.toml", ["o.toml"], server=True),
    "paraphrases": Case(["write-prompts", "paraphrases"], "o.toml", ["o.toml"], server=True),
}
"""Every way in which a command writes a file where the user says."""

WRITES_NOTHING = {
    *("list", "data list", "data check", "models list", "models check", "cache info", "cache verify", "cache clear"),
    "data fetch",  # writes official archives to the folder of data sets; see tests/data/test_fetch.py
}


def leaves(group: Any = None, path: str = "") -> Iterator[tuple[str, Command]]:
    """Every command with its path, such as "data check"."""
    for name, one in (group or get_command(app)).commands.items():
        if hasattr(one, "commands"):
            yield from leaves(one, f"{path}{name} ")
        elif not one.hidden:
            yield f"{path}{name}", one


def test_the_table_has_every_command() -> None:
    with_output = {name for name, one in leaves() if any("--out" in parameter.opts for parameter in one.params)}
    assert with_output == {case.command for case in CASES.values()}
    assert {name for name, _ in leaves()} == with_output | WRITES_NOTHING
    assert all(any("--force" in p.opts for p in one.params) for name, one in leaves() if name in with_output)


# -- a place with everything that the commands read --------------------------------------------------------------


def answered(body: Any, number: int) -> Any:
    """One answer that serves for captions, descriptions and paraphrases."""
    text = json.dumps(body)
    if "image_url" in text:
        return sighted(body, number)
    return completion("a picture of {a_label}" if "{a_label}" in text else "a small cat and a brown dog")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatServer]:
    with ChatServer(answered) as running:
        yield running


@pytest.fixture(autouse=True)
def _plain_connections(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    plain_connections(monkeypatch, tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images with labels, two runs and an ablation."""
    from command_line import run_here

    place = tmp_path_factory.mktemp("made")
    refs = draw_files(place / "photos", SETS)
    rows = "".join(f"{ref.id},{'|'.join(labels)},all\n" for ref, labels in zip(refs, SETS, strict=True))
    (place / "photos/labels.csv").write_text(f"image,labels,split\n{rows}")
    env = {"ZSPROMPT_CACHE": str(tmp_path_factory.mktemp("cache") / "zsprompt")}
    for words in (
        ["run", "--strategy", "per-label", *DATA, "--out", "done"],
        ["run", "--strategy", "top-all", *DATA, "--out", "other"],
        [*CASES["ablate"].words, "--out", "table"],
        [*CASES["thresholds of a data set"].words, "--out", "t.json"],
        [*CASES["thresholds of images"].words, "--out", "chosen.json"],
        [*TRAIN, "--out", "adapter"],
        [*CASES["predict"].words, "--out", "predictions.csv"],
        [*CASES["random captions"].words, "--out", "bank.jsonl"],
        [*CASES["random words"].words, "--out", "prompts.toml"],
    ):
        assert (done := run_here(*words, cwd=place, env=env)).returncode == 0, done.stderr
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """A copy of `made`, in which the commands run."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    (tmp_path / "sentences.txt").write_text("a cat on a mat\na dog in the sun\n")
    return tmp_path


def words_of(case: Case, server: ChatServer) -> list[str]:
    llm = ["--llm", f"url={server.url},model=captioner"] if case.server else []
    return [*case.words, *llm, case.flag, case.out]


def state(folder: Path) -> dict[str, bytes | None]:
    """Every file in a folder with its content, and every folder."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


# -- files that zsprompt did not write ---------------------------------------------------------------------------

FOREIGN = {
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "labels": b"image,dog,cat\na.png,1,0\n",
    "label names": b"image,labels\na.png,dog\n",
    "captions": b"image,caption\na.png,a dog\n",
    "notes": b'{"notes": "mine", "labels": ["dog"], "rows": [1]}\n',
    "a list": b"[1, 2]\n",
    "an adapter of others": (2).to_bytes(8, "little") + b"{}",
    "TOML": b'about = "mine"\nsource = "me"\nlabel = "a photo of {a_label}"\n',
    "a bank": b'{"labels": ["dog"], "caption": "a dog", "model": "Ann", "prompt": "", "time": ""}\n',
    "HTML": b"<!DOCTYPE html>\n<html><head><title>mine</title></head></html>\n",
    "SVG": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>\n',
    "Markdown": b"| row | price |\n| --- | --- |\n",
    "LaTeX": b"\\begin{tabular}{lr}\n",
    "text": "naïve notes\n".encode("latin-1"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_file_of_others_is_refused_before_any_work(name: str, cli: Cli, place: Path, server: ChatServer) -> None:
    case = CASES[name]
    asked = server.count
    for file in case.files:
        target = place / file
        target.parent.mkdir(parents=True, exist_ok=True)
        for content in [*FOREIGN.values()] if file == case.files[0] else [FOREIGN["an image"], FOREIGN["labels"]]:
            target.write_bytes(content)
            before = state(place)
            done = cli(*words_of(case, server))
            assert done.returncode == 1, (file, content, done.stderr)
            assert "found a file that zsprompt did not write" in done.stderr.splitlines()[-1]
            assert "--force" in done.stderr
            assert file in done.stderr
            assert "Traceback" not in done.stderr
            assert state(place) == before
        target.unlink()
    assert server.count == asked


@pytest.mark.parametrize("name", CASES)
def test_a_file_of_another_command_is_refused(name: str, cli: Cli, place: Path, server: ChatServer) -> None:
    others = ["predictions.csv", "t.json", "done/result.json", "done/scores.csv", "table/ablation.json", "prompts.toml"]
    case = CASES[name]
    target = place / case.files[-1]
    target.parent.mkdir(parents=True, exist_ok=True)
    for other in others:
        if (wanted := EXPECTED.get(Path(case.files[-1]).name)) and wanted(other):
            continue
        shutil.copy(place / other, target)
        before = state(place)
        done = cli(*words_of(case, server))
        assert done.returncode == 1, (other, done.stderr)
        assert kind_of(place / other).what in done.stderr  # type: ignore[union-attr]
        assert state(place) == before


EXPECTED = {
    "o.csv": lambda other: other == "predictions.csv",
    "o.json": lambda other: other == "t.json",
    "o.toml": lambda other: other == "prompts.toml",
}
"""Files of another command that are of the kind that a command writes under this name."""


@pytest.mark.parametrize("name", CASES)
def test_its_own_output_and_an_empty_file_are_replaced_and_force_replaces_any(
    name: str, cli: Cli, place: Path, server: ChatServer
) -> None:
    case = CASES[name]
    for file in case.files:
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).touch()
    first = cli(*words_of(case, server))
    assert first.returncode == 0, first.stderr
    again = cli(*words_of(case, server), *case.again)
    assert again.returncode == 0, again.stderr
    for file in case.files:
        (place / file).write_bytes(FOREIGN["labels"])
    forced = cli(*words_of(case, server), "--force")
    assert forced.returncode == 0, forced.stderr
    for file in case.files:
        assert not (place / file).exists() or kind_of(place / file) is not None, file


# -- inputs ------------------------------------------------------------------------------------------------------

NAMES_NO_FILE = {
    *("dataset", "split", "names", "llm", "difficult", "limit", "sample", "seed", "device", "precision", "skip_bad"),
}
"""Fields of RunSpec that name no file; a data set's is `root`."""

NAMED: dict[str, tuple[list[str], str]] = {
    "labels": (["--labels", "@{}"], "words.txt"),
    "without": (["--without", "@{}"], "one.txt"),
    "strategy": (["--strategy", "adapter:{}"], f"adapter/{FILE}"),
    "model": (["--model", "{}"], "words.txt"),
    "prompts": (["--prompts", "{}"], "prompts.toml"),
    "captions": (["--strategy", "llm", "--captions", "{}"], "bank.jsonl"),
    "image_captions": (["--strategy", "fakes:CaptionReader", "--image-captions", "{}"], "captions.csv"),
    "thresholds": (["--strategy", "softmax:per-label", "--thresholds", "{}"], "chosen.json"),
    "root": (["--dataset", "folder", "--root", "{}"], "photos/labels.csv"),
}
"""How an option names a file, by the field of RunSpec, and a file that it can name."""

IN_TRAINING = {
    "strategy": ["--adapter", "self-training,fewest=2", "--strategy", "adapter:{}"],
    "prompts": ["--adapter", "fc", "--prompts", "{}"],
    "image_captions": ["--adapter", "fusion,hidden=8", "--image-captions", "{}"],
}
"""The same for `train`, with an adapter that uses the option."""


def test_every_field_of_a_run_is_known_to_name_a_file_or_not() -> None:
    assert {part.name for part in fields(RunSpec)} == set(NAMED) | NAMES_NO_FILE


RUNS = [
    "predict",
    "run",
    "ablate",
    "thresholds of a data set",
    "train",
    "caption-labels",
    "caption-images",
    "random words",
]
PAIRS = [
    (name, field)
    for name in RUNS
    for field in NAMED
    if field not in COMMANDS[CASES[name].command][0].left_out  # type: ignore[attr-defined]
]


@pytest.mark.parametrize(("name", "field"), PAIRS, ids=str)
def test_a_file_that_an_option_names_is_refused_even_with_force(
    name: str, field: str, cli: Cli, place: Path, server: ChatServer
) -> None:
    (place / "words.txt").write_text("cat\ndog\n")
    (place / "one.txt").write_text("cat\n")
    (place / "captions.csv").write_text("image,caption\n" + "".join(f"{n:04}.png,x\n" for n in range(8)))
    case = CASES[name]
    option, source = NAMED[field]
    option = IN_TRAINING.get(field, option) if name == "train" else option
    target = place / case.files[-1]
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(place / source, target)
    named = [part.format(f"./{case.files[-1]}") for part in option]
    words = words_of(case, server)
    of_targets = ["--schedule", "--validation"] if "self-training,fewest=2" in named else []
    for flag in [*named[::2], *of_targets]:
        while flag in words:
            del words[words.index(flag) : words.index(flag) + 2]
    before = state(place)
    done = cli(*words, *named, "--force")
    assert done.returncode == 1
    assert "among its inputs" in one_line(done.stderr), done.stderr
    assert state(place) == before


def listed(place: Path) -> None:
    """A list of images elsewhere, and a tar file of images."""
    draw_files(place / "elsewhere", SETS[:2])
    (place / "list.csv").write_text("image\nelsewhere/0000.png\nelsewhere/0001.png\n")
    (place / "list.jsonl").write_text('{"image": "elsewhere/0000.png"}\n')
    with tarfile.open(place / "images.tar", "w") as tar:
        tar.add(place / "elsewhere/0000.png", "0000.png")


IMAGES = {
    "an image": (["photos/0000.png"], "photos/0000.png"),
    "an image in a folder": (["."], "photos/0001.png"),
    "an image by another name": (["photos"], "link.png"),
    "a list": (["list.csv"], "list.csv"),
    "an image of a list": (["list.csv"], "elsewhere/0001.png"),
    "an image of JSON lines": (["list.jsonl"], "elsewhere/0000.png"),
    "a tar file": (["images.tar"], "images.tar"),
    "its own earlier output": (["photos/predictions.csv"], "photos/predictions.csv"),
}


@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("name", ["predict", "thresholds of images", "caption-images"])
def test_an_image_that_it_reads_is_refused_even_with_force(
    name: str, images: str, cli: Cli, place: Path, server: ChatServer
) -> None:
    listed(place)
    shutil.copy(place / "predictions.csv", place / "photos/predictions.csv")
    (place / "photos/predictions.csv").write_text((place / "predictions.csv").read_text().replace("photos/", ""))
    (place / "link.png").symlink_to("photos/0002.png")
    paths, out = IMAGES[images]
    words = words_of(CASES[name], server)
    words[words.index("--out") + 1] = out
    words = [word for word in words if word != "photos"]
    before = state(place)
    done = cli(words[0], *paths, *words[1:], "--force")
    assert done.returncode == 1
    assert "among its inputs" in one_line(done.stderr), done.stderr
    assert state(place) == before


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["report", "done"], "done/result.json"),
        (["report", "done"], "done/scores.csv"),
        (["report", "done", "other"], "other/scores.csv"),
        (["report", "done", "--root", "photos"], "photos/0000.png"),
        (["report", "table"], "table/ablation.json"),
        (["ablate", "--plan", "table/ablation.md"], "table"),
        (["write-prompts", "random-words", "--labels", "cat", "--like", "./prompts.toml"], "prompts.toml"),
        (["write-prompts", "sentences", "--labels", "cat", "--sentences", "sentences.txt"], "sentences.txt"),
        (["write-prompts", "random-words", "--like", "./bank.jsonl"], "bank.jsonl"),
        (["run", "--strategy", "per-label", "--dataset", "folder", "--root", ".", *MODEL], "photos"),
        (["thresholds", *DATA], "photos/notes.json"),
        (["caption-images", "--dataset", "folder", "--root", "photos"], "photos/labels.csv"),
        (["train", "--adapter", "knn", *DATA], "photos"),
    ],
    ids=str,
)
def test_other_inputs_are_refused_even_with_force(
    words: list[str], out: str, cli: Cli, place: Path, server: ChatServer
) -> None:
    (place / "labels.csv").write_text((place / "photos/labels.csv").read_text().replace("0", "photos/0", 1))
    rows = (place / "photos/labels.csv").read_text().splitlines()
    (place / "labels.csv").write_text("\n".join([rows[0], *(f"photos/{row}" for row in rows[1:])]))
    (place / "table/ablation.md").write_text('[[row]]\nstrategy = "per-label"\ndataset = "scenes"\nmodel = "tiny"\n')
    for name in ("scores.csv", "notes.json", FILE):
        (place / "photos" / name).write_text("{}x")
    before = state(place)
    llm = ["--llm", f"url={server.url},model=captioner"] if words[0] == "caption-images" else []
    done = cli(*words, *llm, "--out", out, "--force")
    assert done.returncode == 1
    assert "among its inputs" in one_line(done.stderr), done.stderr
    assert state(place) == before


# -- other places ------------------------------------------------------------------------------------------------


def test_a_link_to_a_file_of_others_is_refused_and_a_link_to_its_own_output_is_kept(cli: Cli, place: Path) -> None:
    words = [*CASES["predict"].words, "--out", "link.csv"]
    (place / "link.csv").symlink_to("photos/labels.csv")
    assert "did not write" in one_line(cli(*words).stderr)
    (place / "link.csv").unlink()
    (place / "link.csv").symlink_to("predictions.csv")
    assert cli(*words).returncode == 0
    assert (place / "link.csv").is_symlink()
    (place / "link.csv").unlink()
    (place / "link.csv").symlink_to("not there yet.csv")
    assert cli(*words).returncode == 0
    assert (place / "not there yet.csv").exists()


def test_pipes_and_devices_are_written_to(place: Path) -> None:
    words = command(*CASES["predict"].words, "--out", "/dev/stdout")
    piped = subprocess.run(words, capture_output=True, cwd=place, env=environment(), timeout=120, check=False)
    assert piped.returncode == 0, piped.stderr
    assert piped.stdout.startswith(b"image,labels,error,cat,dog\n")
    words[-1] = "/dev/null"
    assert subprocess.run(words, cwd=place, env=environment(), timeout=120, check=False).returncode == 0


def test_a_file_that_appears_meanwhile_is_kept(place: Path) -> None:
    from zsprompt._utils.file_kinds import PREDICTIONS
    from zsprompt._utils.outputs import whole_csv
    from zsprompt.errors import OutputError

    def write() -> None:
        with whole_csv(place / "o.csv", PREDICTIONS) as file:
            file.header(["image", "labels", "error", "dog"])
            (place / "o.csv").write_bytes(FOREIGN["labels"])

    with pytest.raises(OutputError, match="did not write"):
        write()
    assert (place / "o.csv").read_bytes() == FOREIGN["labels"]
    assert [path.name for path in place.glob("*o.csv*")] == ["o.csv"]


def test_other_files_in_the_folder_are_left_alone(cli: Cli, place: Path, server: ChatServer) -> None:
    for name in ("run", "ablate", "train", "reproduce"):
        folder = place / name
        (folder / "rows").mkdir(parents=True)
        for file in ("notes.txt", "data.csv", "rows/notes.txt"):
            (folder / file).write_text(file)
        case = CASES[name]
        assert cli(*case.words, "--out", name).returncode == 0
        assert all((folder / file).read_text() == file for file in ("notes.txt", "data.csv", "rows/notes.txt"))


# -- failed and interrupted --------------------------------------------------------------------------------------

IN_FOLDERS = [name for name, case in CASES.items() if case.out == "new/o"]


@pytest.mark.parametrize("name", IN_FOLDERS)
def test_a_failed_command_leaves_no_folder(name: str, cli: Cli, place: Path, server: ChatServer) -> None:
    for image in (place / "photos").glob("*.png"):
        image.write_bytes(b"no image")
    words = words_of(CASES[name], server)
    if name == "reproduce":
        words[1:2] = ["mmm-clip-4", "--model", "fakes:NoSuchEncoder"]
    done = cli(*words)
    assert done.returncode == 1, done.stdout
    if name == "reproduce":  # the table says why each row failed
        assert not [path for path in (place / "new/o").iterdir() if path.is_dir()]
    else:
        assert not (place / "new").exists()


ENDED = [*IN_FOLDERS, "predict", "thresholds of images"]


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ("run", "train") else pytest.mark.slow) for name in ENDED]
)
def test_an_interrupted_command_leaves_nothing(
    name: str, place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before, elsewhere = state(place), tmp_path_factory.mktemp("elsewhere")
    fakes = {"FAKE_SECONDS": "3", "FAKE_BEGAN": str(elsewhere / "began"), "ZSPROMPT_CACHE": str(elsewhere / "cache")}
    words = list(CASES[name].words)
    if name == "reproduce":  # a table that needs a model
        words[1:2] = ["mmm-clip-4", *MODEL]
    line = command(*words, CASES[name].flag, CASES[name].out)
    with subprocess.Popen(line, cwd=place, env=environment() | fakes, stdout=-1, stderr=-1) as process:
        while not (elsewhere / "began").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    assert state(place) == before


# -- the table of kinds ------------------------------------------------------------------------------------------


def test_every_kind_recognises_what_the_commands_write_and_nothing_else(
    cli: Cli, place: Path, server: ChatServer
) -> None:
    written: dict[str, set[str]] = {}
    for name, case in CASES.items():
        words = words_of(case, server)
        words[words.index(case.flag) + 1] = f"each/{name}/{Path(case.out).name}"
        (place / "each" / name).mkdir(parents=True)
        assert (done := cli(*words)).returncode == 0, done.stderr
    for path in (place / "each").rglob("*"):
        if path.is_file():
            matching = [kind.what for kind in KINDS if kind.recognises(path)]
            assert len(matching) == 1, (path, matching)
            written.setdefault(matching[0], set()).add(path.name)
    assert RANDOM_BANK.what in written
    not_seen = {kind.what for kind in KINDS} - set(written)
    assert not_seen == {"probabilities of a result", "windows of a result", "an unfinished training run"}
    for content in FOREIGN.values():
        (place / "foreign").write_bytes(content)
        assert kind_of(place / "foreign") is None


EARLIER: Mapping[str, bytes] = {
    "a result": b'{"mAP": 0.5, "ap": {}, "skipped_images": {}, "resamples": 2, "recipe": {}}',
    "thresholds": b'{"format": "zsprompt thresholds", "version": 1, "thresholds": [], "made_for": {}, "made_on": {}}',
    "the table of an ablation": b'{"rows": [{"row": 1, "strategy": "x", "compared_with": null, "p_adjusted": null}]}',
    "facts about a row": b'{"images_embedded": 0, "seconds_images": 0.1, "seconds_warm": 0.1}',
    "a reproduced table": b'{"table": "t", "about": "", "source": "", "on": "", "rows": [], "settings": []}',
    "a prompt set": b'about = "x"\nsource = "m, asked by zsprompt rewrite descriptions"\n',
    "image captions": b'image,caption\n"a.png","a dog"\n',
    "a caption bank": (
        b'{"labels": ["dog"], "caption": "a dog", "model": "m", "prompt": "v1", "time": "2026-01-02"}\n'
        b'{"labels": ["cat"], "caption": "a cat", "model": "Ann", "prompt": "", "time": ""}\n'
    ),
}
"""Files as earlier versions wrote them."""


@pytest.mark.parametrize("what", EARLIER)
def test_files_of_earlier_versions_are_recognised(what: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(EARLIER[what])
    kind = kind_of(tmp_path / "file")
    assert kind is not None
    assert kind.what == what


def test_python_protects_files_too(place: Path) -> None:
    import zsprompt as zs
    from zsprompt.errors import OutputError

    result, thresholds = zs.load_result(place / "done"), zs.load_thresholds(place / "t.json")
    adapter = zs.load_adapter(place / "adapter")
    (place / "mine").mkdir()
    for name in ("result.json", "t.json", "a.safetensors"):
        (place / "mine" / name).write_bytes(FOREIGN["notes"])
    before = state(place)
    for save in (
        lambda **force: zs.save_result(result, place / "mine", **force),
        lambda **force: zs.save_thresholds(thresholds, place / "mine/t.json", **force),
        lambda **force: save_adapter(adapter, place / "mine/a.safetensors", **force),
    ):
        with pytest.raises(OutputError, match=r"force=True"):
            save()
        assert state(place) == before
    zs.save_result(result, place / "mine", force=True)
    assert zs.load_result(place / "mine").mAP == result.mAP


# -- what --force, --resume and failures may destroy -------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["thresholds", "--strategy", "per-label", "--rule", "per-label,folds=2"],
        ["run", "--strategy", "per-label"],
        ["caption-images", "--llm", "offline=yes"],
    ],
    ids=lambda words: words[0],
)
def test_an_image_outside_the_folder_of_its_list_is_an_input_too(words: list[str], cli: Cli, place: Path) -> None:
    names = ("scores.csv", "result.json", "0.png") if words[0] == "run" else ("0.png", "1.png")
    for name, source in zip(names, sorted((place / "photos").glob("*.png")), strict=False):
        (place / "elsewhere").mkdir(exist_ok=True)
        shutil.copy(source, place / "elsewhere" / name)
    rows = "".join(f"{place / 'elsewhere' / name},{'dog' if n else 'cat'}\n" for n, name in enumerate(names))
    (place / "lists").mkdir()
    (place / "lists/l.csv").write_text(f"image,labels\n{rows}")
    before = state(place / "elsewhere")
    out = "elsewhere" if words[0] == "run" else "elsewhere/0.png"
    model = MODEL if words[0] != "caption-images" else []
    done = cli(*words, "--dataset", "list", "--root", "lists/l.csv", *model, "--out", out, "--force")
    assert done.returncode == 1
    assert state(place / "elsewhere") == before
    if words[0] != "run":
        assert "--force does not replace an input" in one_line(done.stderr)


def test_an_ablation_without_a_measured_row_replaces_no_table(cli: Cli, place: Path) -> None:
    assert cli("ablate", "--strategy", "per-label", *SCENES, "--out", "table").returncode == 0
    before = (place / "table/ablation.csv").read_bytes()
    for folder in ("table", "new"):
        done = cli("ablate", "--strategy", "per-lable", *SCENES, "--out", folder)
        assert done.returncode == 1
        assert "wrote the table" not in done.stderr
    assert (place / "table/ablation.csv").read_bytes() == before
    assert not (place / "new/ablation.csv").exists()


def test_force_trains_anew_also_with_several_runs(cli: Cli, place: Path) -> None:
    train = ["train", "--adapter", "fc", "--dataset", "scenes,limit=60", *MODEL, "--validation", "0", "--device", "cpu"]
    several = [*train, "--seeds", "2", "--out", "several", "--schedule"]
    assert cli(*several, "epochs=1").returncode == 0
    assert "finished one with epochs 1 instead of 2" in cli(*several, "epochs=2").stderr
    assert cli(*several, "epochs=2", "--force").returncode == 0
    done = cli(*train, "--out", "one", "--resume", "--force")
    assert "expected --resume to continue, or --force to train anew, found both" in one_line(done.stderr)


def test_a_single_training_run_minds_only_the_files_that_it_writes(cli: Cli, place: Path) -> None:
    (place / "one").mkdir()
    (place / "one/scores.csv").write_text("mine\n")
    train = ["train", "--adapter", "knn", "--dataset", "scenes,limit=60", *MODEL, "--validation", "0"]
    assert cli(*train, "--test", "test:12", "--out", "one").returncode == 0
    assert (place / "one/scores.csv").read_text() == "mine\n"
