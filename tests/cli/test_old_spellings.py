"""Old options and command names: the answer of the new ones, and one line that names them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from chat_server import ChatServer
from click import Command, Context
from command_line import Cli
from fakes import LABELS, draw_files
from typer.main import get_command

from zsprompt.cli import app
from zsprompt.cli.app import COMMANDS, OLD_COMMANDS
from zsprompt.cli.given_run import Old
from zsprompt.cli.options import OLD_SPELLINGS

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = get_command(app)


@dataclass(frozen=True)
class Case:
    """A command line in old and new words; {photos}, {url} and {tmp} stand for what a test has.

    Attributes:
        line: what both share.
        old: the old words.
        new: the new ones.
    """

    line: str
    old: str
    new: str


RUN = "run --strategy per-label --dataset folder --root {photos} --model fakes:PlantedEncoder --json"
LLM = "run --strategy llm --dataset folder --root {photos} --model fakes:PlantedEncoder --json"
CHOOSE = "thresholds --dataset folder --root {photos} --model fakes:PlantedEncoder --out t.json --json"
EXPECT = "thresholds {photos} --labels cat,dog,sofa --model fakes:PlantedEncoder --out t.json --json"
TRAIN = (
    "train --adapter mld,heads=2,feed_forward=8 --dataset folder --root {photos} --model fakes:PlantedEncoder "
    "--device cpu --validation 0.3 --out adapter --json"
)
BOTH = "url={url},model=captioner"
PLAN = f"caption-labels --labels cat,dog --model fakes:PlantedEncoder --llm {BOTH} --dry-run --json"


def trained(old: str, field: str) -> Case:
    """An old option of `train` and the field of --schedule that took its place."""
    few = "epochs=2,batch_size=8" if "epochs" not in old and "train-batch" not in old else "lr=0.01"
    return Case(f"{TRAIN} --schedule {few}", old, f"--schedule {few},{field}")


CASES = {
    ("", "labels_file"): Case(RUN, "--labels-file {photos}/labels.txt", "--labels @{photos}/labels.txt"),
    ("", "names"): Case(RUN, "--names raw", "--dataset folder,names=raw"),
    ("", "difficult"): Case(RUN, "--difficult negative", "--dataset folder,difficult=negative"),
    ("", "limit"): Case(RUN, "--limit 5", "--dataset folder,limit=5"),
    ("", "seed"): Case(RUN, "--sample 6 --seed 2", "--sample 6,seed=2"),
    ("", "picture_captions"): Case(
        RUN, "--picture-captions {photos}/captions.csv", "--image-captions {photos}/captions.csv"
    ),
    ("", "precision"): Case(RUN, "--precision bfloat16", "--device auto,precision=bfloat16"),
    ("", "batch_size"): Case(RUN, "--batch-size 0", "--device auto,batch_size=0"),
    ("", "llm_model"): Case(f"{LLM} --llm url={{url}}", "--llm-model captioner", f"--llm {BOTH}"),
    ("", "llm_base_url"): Case(f"{LLM} --llm captioner", "--llm-base-url {url}", "--llm captioner,url={url}"),
    ("", "llm_timeout"): Case(f"{LLM} --llm {BOTH}", "--llm-timeout 30", f"--llm {BOTH},timeout=30.0"),
    ("", "max_calls"): Case(f"{LLM} --llm {BOTH}", "--max-calls 0", f"--llm {BOTH},max_calls=0"),
    ("", "max_tokens"): Case(f"{LLM} --llm {BOTH}", "--max-tokens 1", f"--llm {BOTH},max_tokens=1"),
    ("", "offline"): Case(f"{LLM} --llm {BOTH}", "--offline", f"--llm {BOTH},offline=yes"),
    ("thresholds", "kind"): Case(CHOOSE, "--kind global", "--rule global"),
    ("thresholds", "precision_wanted"): Case(CHOOSE, "--wanted-precision 0.9", "--rule per-label,precision=0.9"),
    ("thresholds", "calibrate"): Case(CHOOSE, "--calibrate platt", "--rule per-label,calibrate=platt"),
    ("thresholds", "folds"): Case(CHOOSE, "--folds 3", "--rule folds=3"),
    ("thresholds", "folds_seed"): Case(CHOOSE, "--folds-seed 7", "--rule seed=7"),
    ("thresholds", "share"): Case(EXPECT, "--share 0.25", "--expect share=0.25"),
    ("train", "epochs"): trained("--epochs 2", "epochs=2"),
    ("train", "batch_size_of_step"): Case(
        f"{TRAIN} --schedule epochs=2", "--train-batch 4", "--schedule epochs=2,batch_size=4"
    ),
    ("train", "lr"): trained("--lr 0.003", "lr=0.003"),
    ("train", "weight_decay"): trained("--weight-decay 0.1", "weight_decay=0.1"),
    ("train", "optimizer"): trained("--optimizer adamw", "optimizer=adamw"),
    ("train", "loss"): trained("--loss bce", "loss=bce"),
    ("train", "warm_up"): trained("--warm-up 0.5", "warm_up=0.5"),
    ("train", "decay"): trained("--decay none", "decay=none"),
    ("train", "patience"): trained("--patience 1", "patience=1"),
    ("train", "selective"): trained("--selective 2", "selective=2"),
    ("train", "clip_weight"): trained("--loss bce+clip --clip-weight 2", "loss=bce+clip,clip_weight=2"),
    ("train", "seed"): trained("--seed 5", "seed=5"),
    ("caption-labels", "price_in"): Case(f"{PLAN} --price out=2", "--price-in 1", "--price in=1,out=2"),
    ("caption-labels", "price_out"): Case(PLAN, "--price-out 2", "--price out=2"),
    ("write-prompts", "seed_of_words"): Case(
        "write-prompts random-words --labels dog --out words.toml", "--seed 3", "--random-seed 3"
    ),
}

RENAMED = {
    "caption": PLAN.partition(" ")[2],
    "describe": "{photos}/0001.png --llm captioner --dry-run",
    "rewrite": "random-words --labels dog --out words.toml",
}

BEFORE = {
    "run": "strategy dataset root split names prompts model labels labels-file without captions picture-captions "
    "llm-model llm-base-url llm-timeout max-calls max-tokens offline limit sample seed difficult eleven-point "
    "thresholds device precision batch-size skip-bad out cache json",
    "predict": "labels labels-file strategy prompts model captions llm-model llm-base-url llm-timeout max-calls "
    "max-tokens offline threshold thresholds device precision batch-size out cache json",
    "ablate": "out plan strategy dataset prompts model root split captions llm-model llm-base-url llm-timeout "
    "max-calls max-tokens offline device precision batch-size cache json",
    "train": "adapter dataset out root split validation test labels labels-file without limit fraction seeds seed "
    "epochs train-batch lr weight-decay optimizer loss warm-up decay patience selective clip-weight model prompts "
    "names picture-captions device precision batch-size skip-bad resume cache json",
    "caption": "strategy dataset root split limit labels labels-file set-size model captions llm-model llm-base-url "
    "llm-timeout max-calls max-tokens dry-run price-in price-out cache out json",
    "rewrite": "out labels labels-file count template like seed llm-model llm-base-url llm-timeout offline max-calls "
    "max-tokens cache",
    "cache info": "cache json",
    "cache clear": "cache yes",
}
"""Options of the commands before they became families."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn images with labels.csv, captions.csv, and labels.txt."""
    folder = tmp_path_factory.mktemp("world") / "photos"
    sets = [LABELS[i % 8 : i % 8 + 1 + i % 2] for i in range(24)]
    draw_files(folder, sets)
    rows = [[f"{i:04}.png", *(int(c in present) for c in LABELS)] for i, present in enumerate(sets)]
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", *LABELS], *rows])
    with (folder / "captions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "caption"], *([f"{i:04}.png", "a wall"] for i in range(len(sets)))])
    (folder / "labels.txt").write_text("dog\ncat\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of a server that captions whatever it is asked for."""
    with ChatServer() as server:
        yield server.url


def answer(done: CompletedProcess[str]) -> object:
    """What was printed, without the time it took."""
    try:
        return without_times(json.loads(done.stdout))
    except json.JSONDecodeError:
        return done.stdout


def without_times(value: object) -> object:
    if isinstance(value, dict):
        return {key: without_times(one) for key, one in value.items() if "seconds" not in key}
    return value


def both(cli: Cli, tmp_path: Path, lines: tuple[str, str], **words: object) -> list[CompletedProcess[str]]:
    """The two command lines, each in a folder and with a cache of its own."""
    done = []
    for name, line in zip(("old", "new"), lines, strict=True):
        (tmp_path / name).mkdir()
        done.append(cli(*line.format(**words).split(), "--cache", "cache", cwd=tmp_path / name))
    return done


def told(done: CompletedProcess[str]) -> list[str]:
    """Lines on stderr, without times, progress, and that a later option replaces the case's own."""
    lines = done.stderr.splitlines()
    return [line for line in lines if not line.startswith("epoch ") and "times; only the last one" not in line]


@pytest.mark.parametrize("key", CASES, ids=lambda key: " ".join(filter(None, key)))
def test_an_old_option_is_the_new_one_and_a_line(
    key: tuple[str, str], photos: Path, url: str, cli: Cli, tmp_path: Path
) -> None:
    case = CASES[key]
    old, new = both(cli, tmp_path, (f"{case.line} {case.old}", f"{case.line} {case.new}"), photos=photos, url=url)
    assert (old.returncode, answer(old)) == (new.returncode, answer(new)), new.stderr
    notice, *rest = told(old)
    assert notice.startswith("note: old spelling")
    assert rest == told(new)
    flag = next(one.flag for command, one in table() if (command, one.name) == key)
    assert f"{flag} is now `--" in notice


@pytest.mark.parametrize("old", OLD_COMMANDS)
def test_an_old_name_runs_the_command_and_says_the_new_one(
    old: str, photos: Path, url: str, cli: Cli, tmp_path: Path
) -> None:
    lines = (f"{old} {RENAMED[old]}", f"{OLD_COMMANDS[old]} {RENAMED[old]}")
    before, now = both(cli, tmp_path, lines, photos=photos, url=url)
    assert (before.returncode, answer(before)) == (now.returncode, answer(now)) == (0, answer(now)), now.stderr
    notice, *rest = told(before)
    assert notice == f"note: `zsprompt {old}` is now `zsprompt {OLD_COMMANDS[old]}`; the old name still works"
    assert rest == told(now)


def test_an_old_name_and_an_old_option_are_one_line(photos: Path, url: str, cli: Cli) -> None:
    line = f"caption {PLAN.partition(' ')[2]} --price-in 1 --max-calls 3".format(url=url)
    done = cli(*line.split())
    assert done.returncode == 0, done.stderr
    notes = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    assert notes == [
        "note: `zsprompt caption` is now `zsprompt caption-labels`; the old name still works; old spellings: "
        "--max-calls is now `--llm max_calls=N`, --price-in is now `--price in=X`"
    ]


def table() -> list[tuple[str, Old]]:
    """Every old option, with the command that has it; those of every run have none."""
    own = [(name, one) for name, (command, _) in COMMANDS.items() for one in getattr(command, "old", ())]
    return [*(("", one) for one in OLD_SPELLINGS), *own]


def test_every_old_spelling_has_a_case() -> None:
    assert {(command, one.name) for command, one in table()} == set(CASES)
    assert set(RENAMED) == set(OLD_COMMANDS)


def at(path: str) -> Command:
    """The command of a name, or of a group's and a command's."""
    found = ROOT
    for name in path.split():
        found = found.get_command(Context(found), name)
    return found


@pytest.mark.parametrize("command", BEFORE)
def test_no_option_of_before_is_gone(command: str) -> None:
    flags = {flag for parameter in at(command).params for flag in parameter.opts}
    assert {f"--{name}" for name in BEFORE[command].split()} <= flags


def test_old_options_are_hidden_and_say_what_they_are_now() -> None:
    old = {one.flag for _, one in table()}
    for name, (command, _) in COMMANDS.items():
        for parameter in at(name).params:
            if parameter.param_type_name == "option" and "Old spelling" in (parameter.help or ""):
                assert parameter.hidden
                assert set(parameter.opts) <= old
        assert "Old spelling" not in at(name).get_help(Context(at(name))), command


def test_an_old_option_and_its_new_one_at_once_are_refused(photos: Path, cli: Cli) -> None:
    for line, text in (
        ("--labels cat --labels-file x", "expected labels once, found it in --labels and in --labels-file"),
        ("--dataset folder,limit=3 --limit 3", "expected limit once, found it in --dataset and in --limit"),
        ("--llm a --llm-model b", "expected one model for the LLM, found 'a' and 'b'"),
    ):
        done = cli(*RUN.format(photos=photos).split(), *line.split())
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith(f"error: {text}")
