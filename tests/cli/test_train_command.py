"""zsprompt train by its command line, and every command that takes what it wrote."""

from __future__ import annotations

import csv
import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from command_line import ROOT, command, environment
from fakes import LABELS, draw_files
from trainings import digest
from typer.testing import CliRunner

from zsprompt.adapters import load_adapter
from zsprompt.adapters.adapter_file import FILE
from zsprompt.adapters.training import CHECKPOINT, HISTORY
from zsprompt.cli import app
from zsprompt.report.of_training import CURVE

pytestmark = pytest.mark.usefixtures("one_thread")

PLANTED = ("--model", "fakes:PlantedEncoder")
SPATIAL = ("--model", "fakes:SpatialPlanted")
MLD = "mld,heads=2,feed_forward=8"
QUICK = {"epochs": 3, "batch_size": 8, "lr": 0.003}
SPLITS = ["train"] * 30 + ["val"] * 10 + ["test"] * 20


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The last line on stderr, which is an error and the only one."""
        lines = self.err.splitlines()
        assert [line for line in lines if line.startswith("error: ")] == lines[-1:], self.err
        return lines[-1]


Run = Callable[..., Done]


@pytest.fixture
def zs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in this process: it starts in no time. What is no refusal is raised."""
    monkeypatch.chdir(tmp_path)

    def run(*args: object) -> Done:
        found = CliRunner().invoke(app, list(map(str, args)), catch_exceptions=False)
        return Done(found.exit_code, found.stdout, found.stderr)

    return run


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn pictures with a labels CSV of three splits, captions.csv, and labels.txt."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(5)
    sets = [tuple(label for label in LABELS if random.random() < 0.35) for _ in SPLITS]
    draw_files(folder, sets)
    rows = [[f"{i:04}.png", SPLITS[i], *(int(c in present) for c in LABELS)] for i, present in enumerate(sets)]
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "split", *LABELS], *rows])
    with (folder / "captions.csv").open("w", newline="") as file:
        texts = [[f"{i:04}.png", " and ".join(present) or "nothing"] for i, present in enumerate(sets)]
        csv.writer(file).writerows([["image", "caption"], *texts])
    with (folder / "few.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "caption"], *texts[:40]])
    (folder / "labels.txt").write_text("\n".join(LABELS[:3]) + "\n")
    return folder


def on(photos: Path, *options: object, model: tuple[str, str] = PLANTED) -> list[object]:
    return ["--dataset", "folder", "--root", photos, *model, "--device", "cpu", *options]


def training(
    photos: Path, *options: object, adapter: str = MLD, model: tuple[str, str] = PLANTED, **schedule: object
) -> list[object]:
    """`train` with few epochs where the kind has any, and with these fields of --schedule."""
    fields = ({} if adapter[:3] in ("knn", "for") else QUICK) | schedule
    quick = ["--schedule", ",".join(f"{name}={value}" for name, value in fields.items())] if fields else []
    return ["train", "--adapter", adapter, *on(photos, model=model), "--split", "train", *quick, "--out", "a", *options]


# -- the way through ---------------------------------------------------------------------------------------------------


def test_train_and_all_commands_that_take_what_it_wrote(photos: Path, zs: Run, tmp_path: Path) -> None:
    done = zs(*training(photos, "--validation", "val", "--test", "test"))
    assert done.code == 0, done.err
    first, kept, judged, tested = done.out.splitlines()
    assert first == f"{MLD}: 30 images of {photos.name} train, 8 labels, model planted"
    assert kept.startswith("epoch ")
    assert judged.startswith("validation mAP ")
    assert tested.startswith("test mAP ")
    assert [line.partition(":")[0] for line in done.err.splitlines()[:3]] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert done.err.splitlines()[-1] == "wrote the adapter to a; use it with --strategy adapter:a"
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [FILE, HISTORY, CURVE]

    ran = zs("run", "--strategy", "adapter:a", *on(photos, "--split", "test", "--out", "r", "--json"))
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    assert f"{100 * result['mAP']:.1f}" == tested.split()[2]
    assert result["recipe"]["adapter"]["digest"] == load_adapter(tmp_path / "a").digest
    assert result["recipe"]["supervision"] == "trained"
    learnt = zs("run", "--strategy", "adapter:a", *on(photos))
    assert "the adapter was trained on 40 of these 60 images" in learnt.err

    page = zs("report", "r")
    assert page.code == 0, page.err
    assert load_adapter(tmp_path / "a").digest in (tmp_path / "r" / "report.html").read_text()

    cuts = zs("thresholds", "--strategy", "adapter:a", *on(photos, "--split", "val", "--out", "t.json"))
    assert cuts.code == 0, cuts.err
    decided = zs("run", "--strategy", "adapter:a", *on(photos, "--split", "test", "--thresholds", "t.json"))
    assert decided.code == 0, decided.err

    strategies = ("--strategy", "adapter:a", "--strategy", "top-all", "--strategy", "normalised:adapter:a,threshold=1")
    table = zs(
        "ablate", *strategies, "--dataset", "folder", "--root", photos, *PLANTED, "--split", "test", "--out", "t"
    )
    assert table.code == 0, table.err
    rows = json.loads((tmp_path / "t" / "ablation.json").read_text())["rows"]
    assert rows[0]["mAP"] == pytest.approx(result["mAP"])
    assert len(rows) == 3

    words = ("--labels", ", ".join(LABELS[::-1]))
    said = zs("predict", photos / "0000.png", "--strategy", "adapter:a,threshold=0.4", *words, *PLANTED, "--json")
    assert said.code == 0, said.err
    assert [tuple(one["scores"]) for one in json.loads(said.out)["predictions"]] == [LABELS[::-1]]
    assert zs("predict", photos / "0000.png", "--strategy", "adapter:a", "--labels", "zebra", *PLANTED).code == 0
    one = zs("predict", photos / "0000.png", "--strategy", "adapter:a", "--threshold", "0.01", *words, *PLANTED)
    assert one.code == 0, one.err


def test_json_is_one_object_that_says_how_it_was_made_and_how_good_it_is(photos: Path, zs: Run) -> None:
    done = zs(*training(photos, "--validation", "0.2", "--json", "--test", "test"))
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["adapter"], told["epochs"], told["data"]["validation_images"]) == (MLD, 3, 6)
    assert 0 < told["metrics"]["validation_mAP"] <= 1
    assert told["recipe"]["lr"] == 0.003
    assert told["test"]["mAP_interval"][0] <= told["test"]["mAP"] <= told["test"]["mAP_interval"][1]
    assert "ids" not in told["data"]


@pytest.mark.parametrize(
    ("adapter", "model"),
    [
        ("fc", PLANTED),
        ("linear-probe", PLANTED),
        ("knn,k=3", PLANTED),
        ("forest,trees=5", PLANTED),
        ("mld,heads=2,feed_forward=8,tokens=spatial", SPATIAL),
        ("ml-decoder,feed_forward=8,groups=3", SPATIAL),
        ("dm-decoder,blocks=1,feed_forward=8", SPATIAL),
        ("fusion,hidden=8,inputs=image", PLANTED),
    ],
)
def test_every_kind_trains_and_runs(adapter: str, model: tuple[str, str], photos: Path, zs: Run) -> None:
    done = zs(*training(photos, "--test", "test", adapter=adapter, model=model))
    assert done.code == 0, done.err
    assert "test mAP" in done.out
    if "tokens" in adapter or "decoder" in adapter:
        ran = zs("run", "--strategy", "adapter:a", *on(photos, "--split", "test"))
        assert ran.code == 1
        assert "model with spatial tokens" in ran.error
    ran = zs("run", "--strategy", f"adapter:a/{FILE}", *on(photos, "--split", "test", model=model))
    assert ran.code == 0, ran.err


def test_labels_may_be_chosen_and_a_bound_adapter_wants_the_same(photos: Path, zs: Run, tmp_path: Path) -> None:
    assert zs(*training(photos, "--without", "sofa, car", adapter="fc")).code == 0
    assert load_adapter(tmp_path / "a").labels == tuple(label for label in LABELS if label not in ("sofa", "car"))
    refused = zs("run", "--strategy", "adapter:a", *on(photos, "--split", "test"))
    assert refused.code == 1
    assert "6 labels that this fc adapter was trained with, found also car, sofa" in refused.error
    assert zs("run", "--strategy", "adapter:a", *on(photos, "--split", "test", "--without", "car,sofa")).code == 0
    assert zs(*training(photos, "--labels", f"@{photos / 'labels.txt'}", "--out", "b")).code == 0
    assert load_adapter(tmp_path / "b").labels == LABELS[:3]
    assert zs(*training(photos, "--labels", "sofa, cat", "--out", "c", "--test", "test")).code == 0
    assert load_adapter(tmp_path / "c").labels == ("sofa", "cat")


def test_captions_of_a_file_are_read_where_an_adapter_reads_captions(photos: Path, zs: Run, tmp_path: Path) -> None:
    fusion = {"adapter": "fusion,hidden=8"}
    assert "-captions FILE" in zs(*training(photos, **fusion)).error
    captions = ("--image-captions", photos / "captions.csv")
    done = zs(*training(photos, *captions, "--test", "test", **fusion))
    assert done.code == 0, done.err
    assert load_adapter(tmp_path / "a").captions == ("written",)
    assert "-captions FILE" in zs("run", "--strategy", "adapter:a", *on(photos, "--split", "test")).error
    assert zs("run", "--strategy", "adapter:a", *on(photos, *captions, "--split", "test")).code == 0
    few = zs("run", "--strategy", "adapter:a", *on(photos, "--image-captions", photos / "few.csv"))
    assert (few.code, "found none for 20" in few.error) == (1, True)


@pytest.mark.slow
def test_fractions_and_seeds_are_a_table_and_json(photos: Path, zs: Run, tmp_path: Path) -> None:
    several = ("--fraction", 0.5, "--fraction", 1, "--seeds", 2, "--test", "test", "--validation", "val")
    few = ("--labels", "cat,dog,person")
    done = zs(*training(photos, *several, *few, seed=4))
    assert done.code == 0, done.err
    header, half, whole = done.out.splitlines()
    assert header.split() == ["fraction", "images", "seeds", "validation", "mAP", "test", "mAP"]
    assert half.split()[:3] == ["0.5", "15", "2"]
    assert whole.split()[:3] == ["1", "30", "2"]
    assert whole.count("±") == 2
    told = json.loads(zs(*training(photos, *several, *few, "--json", seed=4)).out)["repeats"]  # found again
    assert [(one["fraction"], one["seed"]) for one in told] == [(0.5, 4), (0.5, 5), (1.0, 4), (1.0, 5)]
    folders = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert folders == ["fraction-0.5-seed-4", "fraction-0.5-seed-5", "fraction-1-seed-4", "fraction-1-seed-5"]
    result = json.loads((tmp_path / "a" / folders[2] / "result.json").read_text())
    assert result["mAP"] == pytest.approx(told[2]["test_mAP"])
    assert zs("report", tmp_path / "a" / folders[2]).code == 0
    assert "the adapter was trained on" not in done.err
    remembered = zs(*training(photos, *few, "--seeds", 2, "--test", "train", "--out", tmp_path / "b"))
    assert sum("trained on 30 of these 30 images" in line for line in remembered.err.splitlines()) == 1
    assert sum("fewer than 500 images" in line for line in remembered.err.splitlines()) == 1
    two = zs(*training(photos, *several[2:], *few, epochs=4, seed=4))
    assert two.code == 1
    assert "finished one with epochs 3 instead of 4" in two.error


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--adapter", "nope"), 1),
        (("--adapter", ""), 1),
        (("--adapter", "mld,heads=3"), 1),
        (("--adapter", "mld,blocks=65536"), 1),
        (("--adapter", "mld,read_out=max"), 1),
        (("--adapter", "ml-decoder"), 1),  # the model has no tokens
        (("--adapter", "knn"), 1),  # has no epochs
        (("--adapter", "fusion"), 1),  # there are no captions
        (("--dataset", "nope"), 1),
        (("--root", "nowhere"), 1),
        (("--split", "nope"), 1),
        (("--validation", "nope"), 1),
        (("--validation", "1.5"), 1),
        (("--validation", "nan"), 1),
        (("--validation", "train"), 1),
        (("--validation", "0.01"), 0),
        (("--test", "nope"), 1),
        (("--labels", "cat, zebra"), 1),
        (("--labels", "cat, cat"), 1),
        (("--labels", ""), 1),
        (("--labels", "cat,,dog"), 1),
        (("--labels", "@nowhere"), 1),
        (("--labels", "cat", "--without", "dog"), 1),
        (("--labels", "cat", "--labels-file", "x"), 1),
        (("--without", "zebra"), 1),
        (("--without", ",".join(LABELS)), 1),
        (("--dataset", "folder,limit=0"), 1),
        (("--dataset", "folder,limit=1"), 1),
        (("--dataset", "folder,limit=few"), 1),
        (("--sample", 0), 1),
        (("--sample", "many"), 1),
        (("--sample", "9" * 5000), 1),
        (("--fraction", 0), 1),
        (("--fraction", "nan"), 1),
        (("--fraction", 2), 1),
        (("--fraction", "x"), 2),
        (("--fraction", 0.01), 1),
        (("--seeds", 0), 2),
        (("--seeds", 1001), 2),
        (("--seeds", 2, "--schedule", f"seed={2**32 - 1}"), 1),
        (("--schedule", "seed=-1"), 1),
        (("--schedule", f"seed={2**32}"), 1),
        (("--schedule", "epochs=0"), 1),
        (("--schedule", f"epochs={10**9}"), 1),
        (("--schedule", "epochs=" + "9" * 5000), 1),
        (("--schedule", "batch_size=0"), 1),
        (("--schedule", f"batch_size={10**9}"), 1),
        (("--schedule", "lr=nan"), 1),
        (("--schedule", "lr=inf"), 1),
        (("--schedule", "lr=-1"), 1),
        (("--schedule", "lr=0"), 1),
        (("--schedule", "lr=fast"), 1),
        (("--schedule", "weight_decay=-1"), 1),
        (("--schedule", "weight_decay=nan"), 1),
        (("--schedule", "optimizer=sgd"), 1),
        (("--schedule", "loss=hinge"), 1),
        (("--schedule", "loss=asl+clip"), 1),
        (("--schedule", "warm_up=1.5"), 1),
        (("--schedule", "decay=cosine"), 1),
        (("--schedule", "patience=0"), 1),
        (("--schedule", f"patience={10**9}"), 1),
        (("--schedule", "selective=-1"), 1),
        (("--schedule", "clip_weight=-1"), 1),
        (("--schedule", "clip_weight=nan"), 1),
        (("--schedule", "selective=inf"), 1),
        (("--adapter", "fc", "--schedule", "selective=2"), 1),
        (("--model", "nope"), 1),
        (("--model", "fakes:Nothing"), 1),
        (("--prompts", "nope"), 1),
        (("--prompts", "nowhere.toml"), 1),
        (("--dataset", "folder,names=other"), 1),
        (("--image-captions", "nowhere"), 1),
        (("--device", "tpu"), 1),
        (("--device", "cpu,precision=half"), 1),
        (("--device", "cpu,batch_size=0"), 1),
        (("--device", f"cpu,batch_size={2**30}"), 1),
        (("--cache", "file"), 1),
        (("--out", "file"), 1),
        (("--out", "file/deeper"), 1),
        (("--resume",), 0),  # nothing to go on with: it starts
        (("--unknown",), 2),
        (("left over",), 1),
    ],
    ids=lambda value: " ".join(map(str, value))[:60] if isinstance(value, tuple) else str(value),
)
def test_no_value_of_any_option_leads_to_a_traceback(
    options: tuple[object, ...], code: int, photos: Path, zs: Run
) -> None:
    Path("file").write_text("x")
    done = zs(*training(photos, *options))
    assert done.code == code, (done.err, done.out)
    if code == 1:
        assert len(done.error) > 30
        assert len(done.error) < 700
    if code == 2:
        assert "Error" in done.err or "error" in done.err
    if code:
        assert not any(path.is_file() for path in Path("a").rglob("*"))


@pytest.mark.parametrize("option", ["--adapter", "--out"])
def test_what_train_cannot_do_without_is_asked_for(option: str, photos: Path, zs: Run) -> None:
    given = training(photos)
    place = given.index(option)
    done = zs(*given[:place], *given[place + 2 :])
    assert (done.code, option in done.err) == (2, True)


@pytest.mark.skipif("__import__('torch').cuda.is_available()")
def test_a_gpu_that_is_not_there_is_one_line(photos: Path, zs: Run) -> None:
    assert "expected a CUDA GPU" in zs(*training(photos, "--device", "cuda")).error


@pytest.mark.parametrize(
    "strategy",
    [
        "adapter:",
        "adapter:nowhere",
        "adapter:file",
        "adapter:a,size=3",
        "adapter:a,threshold=2",
        "adapter:a,device=tpu",
    ],
)
@pytest.mark.parametrize("name", ["run", "predict", "thresholds"])
def test_adapters_that_cannot_be_used_are_one_line_everywhere(name: str, strategy: str, photos: Path, zs: Run) -> None:
    Path("file").write_text("no adapter")
    if strategy.startswith("adapter:a"):
        assert zs(*training(photos, adapter="knn")).code == 0
    options = {
        "run": on(photos),
        "predict": [photos / "0000.png", *PLANTED, "--labels", ",".join(LABELS)],
        "thresholds": on(photos, "--out", "t.json"),
    }
    done = zs(name, "--strategy", strategy, *options[name])
    assert done.code == 1
    assert len(done.error) > 30


def test_prompts_and_another_model_beside_an_adapter_are_refused(photos: Path, zs: Run) -> None:
    assert zs(*training(photos)).code == 0
    assert "does not use prompts" in zs("run", "--strategy", "adapter:a", *on(photos, "--prompts", "bare")).error
    Path("other.py").write_text("import fakes\ndef Other(device): return fakes.PlantedEncoder(fingerprint='other/1')\n")
    sys.path.insert(0, str(Path.cwd()))
    try:
        other = zs("run", "--strategy", "adapter:a", *on(photos, model=("--model", "other:Other")))
    finally:
        sys.path.remove(str(Path.cwd()))
    assert "expected the encoder this adapter was trained on, planted (planted/1), found other/1" in other.error


def test_a_training_that_explodes_is_one_line_and_its_best_weights_are_usable(
    photos: Path, zs: Run, tmp_path: Path
) -> None:
    explosive = {"adapter": "linear-probe", "lr": 1000, "weight_decay": 1000, "optimizer": "adamw", "epochs": 30}
    done = zs(*training(photos, "--validation", "val", batch_size=100, **explosive))
    assert done.code == 1
    assert "step 1 of 1; the best weights so far, of epoch " in done.error
    assert zs("run", "--strategy", "adapter:a", *on(photos, "--split", "test")).code == 0
    done = zs(*training(photos, "--out", "b", batch_size=2, **explosive))
    assert done.code == 1
    assert "at epoch 1, step " in done.error
    assert "no epoch was finished" in done.error
    assert not (tmp_path / "b").exists()


def test_damage_of_an_unfinished_training_is_one_line(photos: Path, zs: Run, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / CHECKPOINT).write_bytes(b"half a file")
    for options in ([], ["--resume"]):
        assert "or a damaged one; choose another --out, or pass --force" in zs(*training(photos, *options)).error
    assert (tmp_path / "a" / CHECKPOINT).read_bytes() == b"half a file"


# -- stopped, and the disk full ----------------------------------------------------------------------------------------

LONG = {"epochs": 100, "patience": 100}  # a signal must not come too late


def long_training(photos: Path, *options: object, **schedule: object) -> list[object]:
    return training(photos, "--validation", "val", *options, **(LONG | schedule))


def started(photos: Path, out: Path, cache: Path) -> subprocess.Popen[str]:
    """The installed command, at work."""
    return subprocess.Popen(
        command(*long_training(photos, "--out", out, "--cache", cache)),
        env=environment() | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stopped(process: subprocess.Popen[str], out: Path, number: signal.Signals) -> Done:
    """How it ended at a signal in the middle of its epochs."""
    while not (out / CHECKPOINT).exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.send_signal(number)
    printed, said = process.communicate(timeout=60)
    return Done(process.returncode, printed, said)


@pytest.mark.slow
def test_killed_or_interrupted_and_resumed_is_the_training_that_was_not(photos: Path, zs: Run, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    whole = zs(*long_training(photos, "--out", "whole", "--cache", cache))
    assert whole.code == 0, whole.err
    expected = digest(load_adapter(tmp_path / "whole").weights)
    signals = {"killed": signal.SIGKILL, "interrupted": signal.SIGINT}
    with ThreadPoolExecutor(len(signals)) as both:
        ends = {
            name: both.submit(stopped, started(photos, tmp_path / name, cache), tmp_path / name, number)
            for name, number in signals.items()
        }
    for name, number in signals.items():
        end = ends[name].result()
        assert end.code == (-signal.SIGKILL if number == signal.SIGKILL else 130), end.err
        if number == signal.SIGINT:
            assert end.err.splitlines()[-1].endswith(
                "the same command with --resume continues from the last finished epoch"
            )
            assert end.out == ""
        assert not (tmp_path / name / FILE).exists()
        again = long_training(photos, "--out", name, "--cache", cache)
        assert "continue it with --resume" in zs(*again).error
        assert (
            "lr 0.003 instead of 0.001"
            in zs(*long_training(photos, "--out", name, "--cache", cache, lr=0.001), "--resume").error
        )
        resumed = zs(*again, "--resume")
        assert resumed.code == 0, resumed.err
        assert "epoch 1/25" not in resumed.err
        assert digest(load_adapter(tmp_path / name).weights) == expected
    assert zs(*long_training(photos, "--out", "whole", "--cache", cache), "--resume").code == 0
    assert (
        "with seed 0 instead of 1"
        in zs(*long_training(photos, "--out", "whole", "--cache", cache, seed=1), "--resume").error
    )


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(photos: Path, zs: Run, tmp_path: Path) -> None:
    """The limit on a file's size stands for the disk's end; pictures and texts are in the cache before."""
    cache = tmp_path / "cache"
    assert zs(*training(photos, "--cache", cache, "--out", "before")).code == 0
    limit = 500_000  # above the cache's log, below the weights
    done = subprocess.run(
        command(*training(photos, "--cache", cache, "--out", tmp_path / "full")),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: cannot write {tmp_path / 'full' / CHECKPOINT}")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "full").exists()


@pytest.mark.skipif("os.geteuid() == 0", reason="root writes everywhere")
def test_a_read_only_folder_is_one_line(photos: Path, zs: Run, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o500)
    assert "cannot write folder" in zs(*training(photos)).error


def test_help_of_train_loads_neither_torch_nor_numpy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "zsprompt", "train", "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        check=True,
    )
    assert "--image-captions" in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "typer" in loaded
    assert not {"torch", "numpy", "safetensors", "sklearn", "pandas"} & loaded
