"""Every option in every mode of every command: the mode uses it, or refuses it in one line before any work."""

from __future__ import annotations

import csv
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click import Command, Context
from command_line import Cli, run_here
from fakes import LABELS, draw_files
from typer.main import get_command

from zsprompt.cli import app
from zsprompt.cli.app import OLD_COMMANDS
from zsprompt.errors import ZspromptError
from zsprompt.experiments import reproduction
from zsprompt.experiments.spec import Resources
from zsprompt.llm import options as llm_options

pytestmark = pytest.mark.usefixtures("one_thread")

LLM = "llm llm_model llm_base_url llm_timeout max_calls max_tokens offline"
BANK = "captions"
IMAGE_CAPTIONS = "image_captions picture_captions"
READS_NO_CAPTIONS = f"{LLM} {BANK} {IMAGE_CAPTIONS}"
OF_DATA = "root split names difficult limit sample seed skip_bad without"
OF_LABELS = "root split names limit sample seed skip_bad"
OF_RUN = (
    f"strategy dataset model prompts labels labels_file {OF_DATA} {LLM} {BANK} {IMAGE_CAPTIONS} thresholds"  # no device
)
RANDOM = "like random_seed seed_of_words"
EPOCHS = (
    "schedule epochs batch_size_of_step lr weight_decay optimizer loss warm_up decay patience selective clip_weight"
)


@dataclass(frozen=True)
class Use:
    """One way to use a command.

    Attributes:
        line: the least command line of the mode; {name} stands for what the world has.
        unused: options that it refuses; it uses all others.
        other: options that would make it another mode.
    """

    line: str
    unused: str = ""
    other: str = ""


ON = "--dataset folder --root {photos} --model fakes:PlantedEncoder"
TO = "--labels cat,dog,car --model fakes:PlantedEncoder"
TRAIN = f"train {ON} --validation 0 --out adapter --adapter"
ASK = "--llm local:m"

ALL = ",".join(LABELS)

USES = {
    "run top-all": Use(f"run --strategy top-all {ON}", READS_NO_CAPTIONS),
    "run per-label": Use(f"run --strategy per-label {ON}", READS_NO_CAPTIONS),
    "run yes-or-no": Use(f"run --strategy yes-or-no {ON}", READS_NO_CAPTIONS),
    "run list-all": Use(f"run --strategy list-all,max_labels=2 {ON}", READS_NO_CAPTIONS),
    "run normalised": Use(f"run --strategy normalised:per-label {ON}", READS_NO_CAPTIONS),
    "run llm": Use(f"run --strategy llm {ON} {ASK}", IMAGE_CAPTIONS, other="strategy"),
    "run normalised llm": Use(f"run --strategy normalised:llm {ON} {ASK}", IMAGE_CAPTIONS, other="strategy"),
    "run an object": Use(f"run --strategy fakes:CaptionReader {ON} --image-captions {{captions}}", other="strategy"),
    "run an adapter": Use(f"run --strategy adapter:{{knn}} {ON}", f"without prompts {READS_NO_CAPTIONS}"),
    "run a normalised adapter": Use(
        f"run --strategy normalised:adapter:{{knn}} {ON}", f"without prompts {READS_NO_CAPTIONS}"
    ),
    "run an adapter of captions": Use(
        f"run --strategy adapter:{{fusion}} {ON} --image-captions {{captions}}",
        f"without prompts {LLM} {BANK}",
        other="strategy",
    ),
    "run on scenes": Use("run --strategy top-all --dataset scenes,split=test:9", f"root {READS_NO_CAPTIONS}"),
    "run as JSON": Use(f"run --strategy top-all {ON} --json", f"eleven_point {READS_NO_CAPTIONS}"),
    "run, to a file": Use(f"run --strategy top-all {ON} --out made", READS_NO_CAPTIONS),
    "predict, to images": Use(f"predict {{photos}} {TO} --show made", READS_NO_CAPTIONS),
    "predict, to a file": Use(f"predict {{photos}} {TO} --out made.csv", READS_NO_CAPTIONS),
    "caption-labels, to a file": Use(f"caption-labels {ON} {ASK} --out made.jsonl", "set_size"),
    "reproduce, to a file": Use("reproduce adds-1 --out made"),
    "predict": Use(f"predict {{photos}} {TO}", READS_NO_CAPTIONS),
    "predict top-all": Use(f"predict {{photos}} {TO} --strategy top-all", f"threshold {READS_NO_CAPTIONS}"),
    "predict llm": Use(f"predict {{photos}} {TO} --strategy llm {ASK}", IMAGE_CAPTIONS, other="strategy threshold"),
    "predict an adapter": Use(
        "predict {photos} --strategy adapter:{knn} --model fakes:PlantedEncoder",
        f"prompts {READS_NO_CAPTIONS}",
        other="strategy",
    ),
    "predict an adapter of captions": Use(
        "predict {photos} --strategy adapter:{fusion} --model fakes:PlantedEncoder --image-captions {captions}",
        f"prompts {LLM} {BANK}",
        other="strategy",
    ),
    "thresholds by targets": Use(f"thresholds {ON} --out t.json", f"expect share {READS_NO_CAPTIONS}"),
    "thresholds by expectation": Use(
        f"thresholds {{photos}} {TO} --out t.json",
        f"rule kind precision_wanted calibrate folds folds_seed {OF_DATA} {READS_NO_CAPTIONS}",
        other="dataset",
    ),
    "thresholds with captions": Use(
        f"thresholds --strategy fakes:CaptionReader {ON} {ASK} --image-captions {{captions}} --out t.json",
        "expect share",
        other="strategy",
    ),
    "ablate": Use(f"ablate --strategy top-all --strategy per-label {ON} --out t", READS_NO_CAPTIONS, other="plan"),
    "ablate, one row with an LLM": Use(
        f"ablate --strategy top-all --strategy llm {ON} {ASK} --out t", IMAGE_CAPTIONS, other="plan"
    ),
    "ablate, one row an adapter": Use(
        f"ablate --strategy adapter:{{knn}} --strategy top-all {ON} --out t", READS_NO_CAPTIONS, other="plan"
    ),
    "ablate, one row of image captions": Use(
        f"ablate --strategy fakes:CaptionReader --strategy top-all {ON} --image-captions {{captions}} --out t",
        other="plan",
    ),
    "ablate adapters alone": Use(
        f"ablate --strategy adapter:{{knn}} {ON} --out t", f"prompts {READS_NO_CAPTIONS}", other="plan strategy without"
    ),
    "ablate on scenes and files": Use(
        "ablate --strategy top-all --dataset scenes,split=test:9 --dataset folder --root {photos} --model tiny --out t",
        READS_NO_CAPTIONS,
        other="plan split",
    ),
    "ablate on scenes": Use(
        "ablate --strategy top-all --dataset scenes,split=test:9 --out t", f"root {READS_NO_CAPTIONS}", other="plan"
    ),
    "ablate a plan": Use("ablate --plan {plan} --out t", OF_RUN.replace(" skip_bad", "")),
    "caption-labels of a data set": Use(f"caption-labels {ON} {ASK}", "set_size"),
    "caption-labels of a data set, dry": Use(f"caption-labels {ON} {ASK} --dry-run", "set_size"),
    "caption-labels of labels": Use(
        f"caption-labels {TO} {ASK}", f"strategy prompts {OF_LABELS}", other="dataset without"
    ),
    "caption-labels of labels, dry": Use(
        f"caption-labels {TO} {ASK} --dry-run",
        f"strategy prompts {OF_LABELS}",
        other="dataset without",
    ),
    "caption-images": Use(
        f"caption-images {{photos}} {ASK} --out c.csv", "root split limit sample seed", other="dataset"
    ),
    "caption-images, dry": Use(
        f"caption-images {{photos}} {ASK} --dry-run", "root split limit sample seed", other="dataset"
    ),
    "caption-images of a data set": Use(f"caption-images --dataset folder --root {{photos}} {ASK} --out c.csv"),
    "write descriptions": Use(
        f"write-prompts descriptions --labels cat,dog,car {ASK} --out x.toml", f"template sentences {RANDOM}"
    ),
    "write paraphrases": Use(f"write-prompts paraphrases {ASK} --out x.toml", f"labels labels_file sentences {RANDOM}"),
    "write random words": Use(
        "write-prompts random-words --labels cat,dog,car --out x.toml", f"count template sentences {LLM}", other="out"
    ),
    "write random captions": Use(
        "write-prompts random-words --like scenes --out x.jsonl",
        f"count template sentences labels labels_file {LLM}",
        other="out",
    ),
    "write sentences": Use(
        "write-prompts sentences --labels cat,dog,car --sentences {words} --out x.toml", f"template {RANDOM} {LLM}"
    ),
    "train mld": Use(f"{TRAIN} mld", f"strategy patience clip_weight {IMAGE_CAPTIONS}"),
    "train ml-decoder": Use(f"{TRAIN} ml-decoder,tokens=pooled", f"strategy patience clip_weight {IMAGE_CAPTIONS}"),
    "train with a contrastive loss": Use(
        f"{TRAIN} ml-decoder,tokens=pooled --schedule loss=asl+clip --validation 0.5",
        f"strategy {IMAGE_CAPTIONS}",
        other="loss",
    ),
    "train fc": Use(f"{TRAIN} fc", f"strategy patience selective clip_weight {IMAGE_CAPTIONS}"),
    "train linear-probe": Use(
        f"{TRAIN} linear-probe", f"strategy prompts patience selective clip_weight {IMAGE_CAPTIONS}"
    ),
    "train fusion": Use(
        f"{TRAIN} fusion --image-captions {{captions}}",
        "strategy prompts patience selective clip_weight",
        other="adapter",
    ),
    "train fusion of images": Use(
        f"{TRAIN} fusion,inputs=image", f"strategy prompts patience selective clip_weight {IMAGE_CAPTIONS}"
    ),
    "train knn": Use(f"{TRAIN} knn,k=1", f"strategy prompts seeds seed {EPOCHS} {IMAGE_CAPTIONS}"),
    "train knn, validated": Use(f"{TRAIN} knn,k=1 --validation 0.5", f"strategy prompts {EPOCHS} {IMAGE_CAPTIONS}"),
    "train knn of parts": Use(f"{TRAIN} knn,k=1 --fraction 0.5", f"strategy resume prompts {EPOCHS} {IMAGE_CAPTIONS}"),
    "train knn of captions": Use(
        f"{TRAIN} knn,k=1,inputs=both --image-captions {{captions}}",
        f"strategy prompts seeds seed {EPOCHS}",
        other="adapter",
    ),
    "train forest": Use(f"{TRAIN} forest", f"strategy prompts {EPOCHS} {IMAGE_CAPTIONS}"),
    "train several": Use(f"{TRAIN} fc --seeds 2", f"strategy resume patience selective clip_weight {IMAGE_CAPTIONS}"),
    "train self-training": Use(
        f"train {ON} --out adapter --adapter self-training,fewest=2",
        f"validation fraction seeds {EPOCHS} {IMAGE_CAPTIONS}",
        other="seed",
    ),
    "train self-training on images": Use(
        f"train {{photos}} {TO} --out adapter --adapter self-training,fewest=2",
        f"test validation fraction seeds {EPOCHS} {OF_LABELS} without names limit {IMAGE_CAPTIONS}",
        other="dataset seed",
    ),
    "reproduce nothing": Use("reproduce", "root on seeds out epochs limit model device"),
    "reproduce": Use("reproduce adds-1"),
    "reproduce on scenes": Use("reproduce adds-1 --on scenes", "root", other="on"),
    "reproduce counts": Use("reproduce mmm-clip-1", "seeds epochs model device"),
    "report": Use("report {run}"),
    "report of two runs": Use("report {run} {run}"),
    "report of an ablation": Use("report {ablation}", "root"),
    "data list": Use("data list"),
    "data check": Use("data check folder --root {photos}"),
    "data check scenes": Use("data check scenes --split test:9", "root"),
    "data fetch": Use("data fetch voc --root . --from {photos}"),
    "models list": Use("models list"),
    "models check": Use("models check tiny"),
    "cache info": Use("cache info --cache {cache}"),
    "cache verify": Use("cache verify --cache {cache}"),
    "cache clear": Use("cache clear --cache {cache} --yes"),
    "list": Use("list strategies"),
}
"""Every mode of every command. An option that a mode refuses is listed; all others have an effect in it."""

VALUES = {
    **{"strategy": "--strategy per-label", "dataset": "--dataset folder,limit=3", "model": "--model tiny"},
    **{
        "prompts": "--prompts bare",
        "root": "--root {photos}",
        "split": "--split train",
        "labels": "--labels cat,dog,car",
    },
    **{"without": "--without sofa", "sample": "--sample 6", "skip_bad": "--skip-bad", "captions": "--captions scenes"},
    **{"image_captions": "--image-captions {captions}", "llm": ASK, "thresholds": "--thresholds {thresholds}"},
    **{"device": "--device cpu", "labels_file": "--labels-file {words}", "names": "--names raw"},
    **{"difficult": "--difficult negative", "limit": "--limit 3", "seed": "--sample 6 --seed 3"},
    **{"picture_captions": "--picture-captions {captions}", "precision": "--precision bfloat16 --model tiny"},
    **{"batch_size": "--batch-size 2", "llm_model": "--llm-model m", "llm_base_url": "--llm m --llm-base-url openai"},
    **{"llm_timeout": f"{ASK} --llm-timeout 3", "max_calls": f"{ASK} --max-calls 3"},
    **{"max_tokens": f"{ASK} --max-tokens 99", "offline": f"{ASK} --offline", "threshold": "--threshold 0.4"},
    **{"show": "--show shown", "json": "--json", "out": "--out made"},
    **{"cache": "--cache {cache}", "eleven_point": "--eleven-point"},
    **{"rule": "--rule global", "kind": "--kind global", "precision_wanted": "--wanted-precision 0.8"},
    **{"calibrate": "--calibrate platt", "folds": "--folds 3", "folds_seed": "--folds-seed 3"},
    **{"expect": "--expect 1", "share": "--share 0.3", "set_size": "--set-size 1", "dry_run": "--dry-run"},
    **{"price": "--price in=1", "price_in": "--price-in 1", "price_out": "--price-out 1"},
    **{"question": "--question What?", "words": "--words 9", "count": "--count 3", "template": "--template {{label}}"},
    **{
        "like": "--like bare",
        "sentences": "--sentences {every}",
        "random_seed": "--random-seed 3",
        "seed_of_words": "--seed 3",
    },
    **{"adapter": "--adapter fc", "schedule": "--schedule epochs=3", "validation": "--validation 0.4"},
    **{"test": "--test val", "fraction": "--fraction 0.5", "seeds": "--seeds 2", "resume": "--resume"},
    **{"epochs": "--epochs 3", "batch_size_of_step": "--train-batch 4", "lr": "--lr 0.01"},
    **{"weight_decay": "--weight-decay 0.1", "optimizer": "--optimizer adamw", "loss": "--loss bce"},
    **{"warm_up": "--warm-up 0.1", "decay": "--decay linear", "patience": "--patience 3"},
    **{"selective": "--selective 2", "clip_weight": "--clip-weight 2", "on": "--on real", "quick": "--quick"},
    **{"source": "--from {photos}", "again": "--again", "yes": "--yes", "plan": "--plan {plan}", "force": "--force"},
    **{"family": "--family OpenAI", "cached": "--cached"},
}
"""A sensible value of each option, by the name of its parameter; with what it needs beside it."""

BOUND = [use for use, one in USES.items() if "adapter:" in one.line and "top-all" not in one.line]
"""Modes with an adapter that takes no other labels than those of its training."""

HERE = {
    **{(use, "labels"): f"--labels {ALL}" for use in BOUND},
    **{(use, "labels_file"): "--labels-file {every}" for use in BOUND},
    ("ablate a plan", "precision"): "--precision bfloat16",
    ("train", "seed"): "--seed 3",
    ("predict, to images", "out"): "--out made.csv",
    ("train self-training", "adapter"): "--adapter self-training,fewest=3",
    ("train self-training on images", "adapter"): "--adapter self-training,fewest=3",
    ("run on scenes", "split"): "--split train:9",
    ("run on scenes", "dataset"): "--dataset scenes,split=train:9",
    ("run on scenes", "without"): "--without dog",
    ("run on scenes", "thresholds"): "--thresholds {scenes}",
    ("ablate on scenes", "split"): "--split train:9",
    ("ablate on scenes", "dataset"): "--dataset scenes,split=train:9",
    ("ablate on scenes", "without"): "--without dog",
    ("ablate on scenes", "thresholds"): "--thresholds {scenes}",
    ("data check scenes", "split"): "--split train:9",
    ("ablate", "labels"): "--labels cat,dog,car --labels cat,dog",
    ("reproduce", "limit"): "--limit 9",
    ("reproduce nothing", "limit"): "--limit 9",
    ("write random captions", "like"): "--like scenes",
    ("write random words", "like"): "--like photo",
}
"""Values for a command, or for one mode, where they differ."""

INSTEAD = {
    **{"labels_file": " --labels cat,dog,car", "without": " --labels cat,dog,car", "split": ",split=test:9"},
    **{"picture_captions": " --image-captions {captions}", "llm_model": f" {ASK}", "llm_base_url": f" {ASK}"},
}
"""What an option replaces in the command line of a mode: the same field in other words."""

REFUSED = (
    "does not use",
    "no run uses",
    "expected a data set with",
    "expected no --root for",
    "expected the 8 labels that this",
)


def leaves(group: Any, path: str = "") -> Iterator[tuple[str, Command]]:
    for name in group.list_commands(Context(group)):
        command = group.get_command(Context(group), name)
        if hasattr(command, "commands"):
            yield from leaves(command, f"{path}{name} ")
        elif name not in OLD_COMMANDS:
            yield f"{path}{name}", command


ROOT = get_command(app)
COMMANDS = dict(leaves(ROOT))


def command_of(use: str) -> str:
    words = USES[use].line.split()
    return next(name for name in (" ".join(words[:2]), words[0]) if name in COMMANDS)


def options_of(use: str) -> list[str]:
    """Names of the options of a mode's command, old spellings too."""
    parameters = COMMANDS[command_of(use)].params
    named = [one.name for one in parameters if one.param_type_name == "option" and one.name != "help"]
    return [name for name in named if name not in USES[use].other.split()]


SLOW = {
    use
    for use in USES
    if use.endswith((", dry", ", to a file", ", to images"))
    or use in ("run per-label", "run yes-or-no", "run list-all")
}
SLOW |= {"run normalised", "run normalised llm", "run a normalised adapter", "predict an adapter of captions"}
"""Modes that differ from another one in what it is hardly likely to depend on."""


def unused_in(use: str) -> list[str]:
    """Names of the options that a mode refuses; --force is one where nothing is written."""
    writes = (
        "--out" in USES[use].line
        or "--show" in USES[use].line
        or command_of(use) == "report"
        or "force" not in options_of(use)
    )
    return [*USES[use].unused.split(), *([] if writes else ["force"])]


PAIRS = [
    pytest.param(use, name, id=f"{use}: {name}", marks=[pytest.mark.slow] if use in SLOW else [])
    for use in USES
    for name in options_of(use)
]


class OpenedError(ZspromptError):
    """A model or an LLM is asked for: all checks are passed."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Images with labels and captions, and what commands made of them."""
    folder = tmp_path_factory.mktemp("world")
    photos = folder / "photos"
    sets = [LABELS[i % 8 : i % 8 + 1 + i % 2] for i in range(24)]
    draw_files(photos, sets)
    with (photos / "labels.csv").open("w", newline="") as file:
        flags = [
            [f"{i:04}.png", "train" if i % 2 else "val", *(int(c in one) for c in LABELS)] for i, one in enumerate(sets)
        ]
        csv.writer(file).writerows([["image", "split", *LABELS], *flags])
    with (folder / "captions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "caption"], *([f"{i:04}.png", "a wall"] for i in range(len(sets)))])
    (folder / "words.txt").write_text("cat\ndog\ncar\n", encoding="utf-8")
    (folder / "every.txt").write_text("\n".join(LABELS), encoding="utf-8")
    (folder / "plan.toml").write_text(
        f'[[row]]\nstrategy = "top-all"\ndataset = "folder"\nroot = "{photos}"\nmodel = "tiny"\n',
        encoding="utf-8",
    )
    made = {
        "photos": photos,
        **{name: folder / name for name in ("knn", "fusion", "run", "ablation", "cache")},
        **{
            "captions": folder / "captions.csv",
            "words": folder / "words.txt",
            "plan": folder / "plan.toml",
            "every": folder / "every.txt",
        },
    }
    lines = (
        f"train {ON} --validation 0 --adapter knn,k=1 --device cpu --out {{knn}}",
        f"train {ON} --validation 0 --adapter fusion,hidden=8 --schedule epochs=1 --image-captions {{captions}} "
        "--device cpu --out {fusion}",
        f"run --strategy top-all {ON} --out {{run}}",
        "ablate --plan {plan} --out {ablation}",
    )
    for line in lines:
        done = run_here(*line.format(**made, cache_=folder).split(), "--cache", made["cache"], cwd=folder, env={})
        assert done.returncode == 0, done.stderr
    return made


@pytest.fixture
def _stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands end where they would open a model, an LLM, or begin a reproduction."""

    def stop(*args: object, **named: object) -> None:
        raise OpenedError("opened")

    monkeypatch.setattr(sys.modules["zsprompt.cli.app"], "app", ROOT)  # typer would build all commands for each call
    monkeypatch.setattr(Resources, "open_store", stop)
    monkeypatch.setattr(llm_options, "Writer", stop)
    monkeypatch.setattr(reproduction, "reproduce", stop)


def words_of(use: str, name: str, world: dict[str, Path]) -> list[str]:
    """The command line of a mode with one more option."""
    command = command_of(use)
    value = next(
        table[key] for table, key in ((HERE, (use, name)), (HERE, (command, name)), (VALUES, name)) if key in table
    )
    line = USES[use].line.replace(INSTEAD.get(name, "\0"), "")
    return shlex.split(f"{line} {value}".format(**world, thresholds="none.json", scenes="none.json"))


def test_the_table_has_every_command_and_every_option() -> None:
    assert {command_of(use) for use in USES} == set(COMMANDS)
    for use, one in USES.items():
        names = [name for name in COMMANDS[command_of(use)].params if name.param_type_name == "option"]
        assert {*one.unused.split(), *one.other.split()} <= {name.name for name in names}, use
    for command in COMMANDS:
        uses = [use for use in USES if command_of(use) == command]
        used = {name for use in uses for name in options_of(use) if name not in unused_in(use)}
        assert used == {name for use in uses for name in options_of(use)}, f"no mode of {command} uses an option"


@pytest.mark.usefixtures("_stops")
@pytest.mark.parametrize(("use", "name"), PAIRS)
def test_a_mode_uses_an_option_or_refuses_it(use: str, name: str, world: dict[str, Path], cli: Cli) -> None:
    done = cli(*words_of(use, name, world))
    refusals = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    refused = [line for line in refusals if any(words in line for words in REFUSED)]
    if name in unused_in(use):
        assert done.returncode == 1
        assert (len(refusals), len(refused)) == (1, 1), done.stderr
        assert "opened" not in done.stderr
    else:
        assert not refused, done.stderr
        reached = "opened" in done.stderr or done.returncode == 0
        assert reached or name == "thresholds" or command_of(use) in ("data fetch", "cache clear"), done.stderr
