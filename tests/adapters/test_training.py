"""Training: exact resume, the best epoch, refusals, and repeated training runs."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adapter_world import SMALL, WORDS, Rows, directions, every_kind, probabilities, sizes_of, trained, world
from command_line import ROOT, environment
from fakes import LABELS, PlantedEncoder, SpatialPlanted, draw_files
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import heard_by
from trainings import PLAIN, VARIANTS, Stop, at_step, digest, every_variant, fit_variant, stop

from zsprompt import metrics
from zsprompt._utils import file_kinds
from zsprompt._utils.arrays import Halves, Indices
from zsprompt.adapters import (
    Examples,
    Fitted,
    Kind,
    Schedule,
    Trained,
    fit,
    load_adapter,
    save_adapter,
)
from zsprompt.adapters.adapter_file import FILE
from zsprompt.adapters.kinds.fc import FcSpec
from zsprompt.adapters.kinds.knn import KnnSpec
from zsprompt.adapters.kinds.linear_probe import LinearProbeSpec
from zsprompt.adapters.kinds.mld import MldSpec
from zsprompt.adapters.train_loop import DivergedError
from zsprompt.adapters.training import CHECKPOINT, ENOUGH, HISTORY, Course, split_off, train
from zsprompt.data import Dataset
from zsprompt.errors import (
    BadImages,
    CacheError,
    DataError,
    LabelError,
    ModelError,
    OutputError,
    TrainingError,
    UsageError,
    ZspromptError,
)
from zsprompt.evaluation.run import run
from zsprompt.experiments.few_shot import repeat, repeats_frame
from zsprompt.report.of_training import save_training_curve
from zsprompt.store import EmbeddingStore
from zsprompt.store.embed import _fitting, embed
from zsprompt.strategies import Adapter

pytestmark = pytest.mark.usefixtures("one_thread")

# -- the schedule ------------------------------------------------------------------------------------------------------


@given(
    steps=st.integers(1, 300),
    warm_up=st.floats(0, 1),
    decay=st.sampled_from(["linear", "none"]),
    lr=st.floats(1e-6, 10),
)
def test_rates_rise_linearly_then_fall_or_stay(steps: int, warm_up: float, decay: Any, lr: float) -> None:
    schedule = Schedule(lr=lr, warm_up=warm_up, decay=decay)
    rates = [schedule.rate(step, steps) for step in range(steps)]
    rising = round(warm_up * steps)
    for step, rate in enumerate(rates):
        if step < rising:
            expected = lr * (step + 1) / rising
        elif decay == "linear":
            expected = lr * (1 - (step - rising) / (steps - rising))
        else:
            expected = lr
        assert rate == pytest.approx(expected)
    assert max(rates) == pytest.approx(lr)
    assert min(rates) > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs of 1"),
        ({"epochs": 10**9}, "epochs of 1"),
        ({"batch_size": 0}, "batch size of 1"),
        ({"lr": 0.0}, "learning rate"),
        ({"lr": float("nan")}, "learning rate"),
        ({"lr": -1.0}, "learning rate"),
        ({"lr": float("inf")}, "learning rate"),
        ({"weight_decay": -1.0}, "weight decay"),
        ({"warm_up": 1.1}, "warm up"),
        ({"patience": 0}, "patience"),
        ({"selective": -1.0}, "selective"),
        ({"selective": float("inf")}, "selective"),
        ({"clip_weight": -1.0}, "contrastive"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"optimizer": "sgd"}, "unknown optimizer 'sgd'"),
        ({"loss": "hinge"}, "unknown loss 'hinge'"),
        ({"decay": "cosine"}, "unknown decay 'cosine'"),
    ],
)
def test_schedules_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Schedule(**changes)
    assert "\n" not in str(caught.value)
    assert "[]" not in str(caught.value)


# -- stopped and resumed -----------------------------------------------------------------------------------------------


def course_of(fitted: Fitted) -> list[tuple[Any, ...]]:
    """The history without durations."""
    return [(epoch.number, epoch.loss, epoch.mAP, epoch.lr) for epoch in fitted.history]


@every_variant
def test_a_resume_after_any_epoch_gives_the_same_weights(name: str, tmp_path: Path) -> None:
    whole = fit_variant(name)
    for after in range(1, len(whole.history) + 1):
        checkpoint = tmp_path / f"after-{after}"
        lines: list[str] = []

        def tell(line: str, lines: list[str] = lines, after: int = after) -> None:
            lines.append(line)
            if len(lines) == after:
                raise Stop

        with pytest.raises(Stop), heard_by(tell):
            fit_variant(name, checkpoint)
        lines.clear()
        with heard_by(lines.append):
            result = fit_variant(name, checkpoint)
        assert len(lines) == len(whole.history) - after  # no epoch ran twice
        assert digest(result.weights) == digest(whole.weights)
        assert (result.best, course_of(result)) == (whole.best, course_of(whole))


@every_variant
def test_a_resume_within_an_epoch_gives_the_same_weights(name: str, tmp_path: Path) -> None:
    whole = fit_variant(name)
    steps = -(-48 // VARIANTS[name][1].batch_size)
    for step in (1, steps + 1, 2 * steps + 1):
        checkpoint = tmp_path / f"at-{step}"
        with at_step(step, stop) as progress, pytest.raises(Stop):
            fit_variant(name, checkpoint, progress=progress)
        assert checkpoint.exists() == (step > steps)
        assert digest(fit_variant(name, checkpoint).weights) == digest(whole.weights)


KILLS = """
import os, random, signal, sys, time
import torch
torch.set_num_threads(1)  # a fork has no other threads
from pathlib import Path
from trainings import VARIANTS, at_step, digest, fit_variant

chance = random.Random(3)
for number, name in enumerate(VARIANTS):
    path, answer = Path(sys.argv[1]) / f"{number}", Path(sys.argv[1]) / f"answer-{number}"
    whole = digest(fit_variant(name).weights)
    child = os.fork()
    if not child:
        try:
            with at_step(0, lambda: time.sleep(0.06)) as slow:
                fit_variant(name, path, progress=slow)
        finally:
            os._exit(3)
    while not path.exists():
        time.sleep(0.002)
    time.sleep(chance.uniform(0.0, 0.25))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.fork():
        answer.write_text(digest(fit_variant(name, path).weights))
        os._exit(0)
    os.wait()
    print(f"{name}: {'killed' if os.WIFSIGNALED(status) else 'too late'}, {answer.read_text() == whole}")
"""


@pytest.mark.slow
def test_a_resume_after_a_kill_gives_the_same_weights(tmp_path: Path) -> None:
    """SIGKILL of a process that has written a checkpoint, for every variant."""
    done = subprocess.run(
        [sys.executable, "-c", KILLS, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, env=environment()
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{name}: killed, True" for name in VARIANTS]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 1e-3}, "lr 0.003 instead of 0.001"),
        ({"batch_size": 8}, "batch_size 16 instead of 8"),
        ({"epochs": 6}, "epochs 4 instead of 6"),
        ({"seed": 6}, "seed 5 instead of 6"),
        ({"optimizer": "adamw"}, "optimizer adam instead of adamw"),
        ({"loss": "asl"}, "loss bce instead of asl"),
        ({"weight_decay": 0.5}, "weight_decay 0.01 instead of 0.5"),
        ({"warm_up": 0.5}, "warm_up 0.0 instead of 0.5"),
        ({"decay": "linear"}, "decay none instead of linear"),
        ({"patience": 3}, "patience None instead of 3"),
    ],
)
def test_a_resume_with_other_options_is_refused_with_their_names(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / CHECKPOINT
    with at_step(4, stop) as progress, pytest.raises(Stop):
        fit_variant("adam", path, progress=progress)
    kind, schedule = VARIANTS["adam"]
    monkeypatch.setitem(VARIANTS, "adam", (kind, replace(schedule, **changes)))
    with pytest.raises(TrainingError, match=f"found one with {message}; use the options it was started with"):
        fit_variant("adam", path)


def test_a_resume_with_another_kind_or_other_data_is_refused_with_their_names(tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT
    with at_step(4, stop) as progress, pytest.raises(Stop):
        fit_variant("adam", path, progress=progress, identity={"images": "a"})
    with pytest.raises(TrainingError, match="with images a instead of b"):
        fit_variant("adam", path, identity={"images": "b"})
    with pytest.raises(TrainingError, match="adapter linear-probe instead of fc"):
        fit(FcSpec(), sizes_of(world()), world(48), directions(), VARIANTS["adam"][1], checkpoint=path)


def test_a_damaged_or_foreign_checkpoint_is_refused_in_one_line_and_kept(tmp_path: Path) -> None:
    path, adapter = tmp_path / CHECKPOINT, tmp_path / FILE
    with at_step(4, stop) as progress, pytest.raises(Stop):
        fit_variant("adam", path, progress=progress)
    whole = path.read_bytes()
    save_adapter(_trained(FcSpec()), adapter)
    chance = random.Random(1)
    damaged = [whole[: chance.randrange(len(whole))] for _ in range(8)]
    for _ in range(8):
        place = chance.randrange(len(whole))
        damaged.append(whole[:place] + bytes([whole[place] ^ (1 << chance.randrange(8))]) + whole[place + 1 :])
    damaged += [b"", b"no checkpoint", adapter.read_bytes(), whole + b"\0"]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(TrainingError, match="expected a checkpoint") as caught:
            fit_variant("adam", path)
        assert "\n" not in str(caught.value)
        assert path.read_bytes() == content


@pytest.mark.parametrize("part", ["network.layer.bias", "best.layer.bias", "optimizer.0.exp_avg", "optimizer.0.step"])
def test_a_checkpoint_that_lacks_an_array_is_refused_in_one_line(part: str, tmp_path: Path) -> None:
    from zsprompt.adapters.tensors import read_arrays, write_arrays

    path = tmp_path / CHECKPOINT
    with at_step(4, stop) as progress, pytest.raises(Stop):
        fit_variant("adam", path, progress=progress)
    arrays, facts = read_arrays(path, "checkpoint")
    assert part in arrays
    for changed in (
        {name: value for name, value in arrays.items() if name != part},
        arrays | {part: np.zeros(77, np.float32)},
    ):
        write_arrays(path, file_kinds.CHECKPOINT, changed, facts)
        with pytest.raises(TrainingError, match="damage"):
            fit_variant("adam", path)


@pytest.mark.parametrize(
    "changes", [{"history": []}, {"history": [{"number": 1}]}, {"best": "x"}, {"best": 7}, {"said": 3}]
)
def test_a_checkpoint_with_invalid_facts_is_refused_in_one_line(changes: dict[str, Any], tmp_path: Path) -> None:
    from zsprompt.adapters.tensors import read_arrays, write_arrays

    path = tmp_path / CHECKPOINT
    with at_step(4, stop) as progress, pytest.raises(Stop):
        fit_variant("adam", path, progress=progress)
    arrays, facts = read_arrays(path, "checkpoint")
    write_arrays(path, file_kinds.CHECKPOINT, arrays, facts | changes)
    with pytest.raises(TrainingError, match="checkpoint"):
        fit_variant("adam", path)


# -- the same, and other, seeds ----------------------------------------------------------------------------------------


@every_kind
def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(kind: Kind) -> None:
    examples = world(40)

    def weights(seed: int) -> str:
        schedule = replace(kind.schedule, epochs=1, batch_size=16, seed=seed)
        return digest(fit(kind, sizes_of(examples), examples, directions(), schedule).weights)

    first = weights(0)
    np.random.rand()
    assert weights(0) == first
    assert (weights(1) == first) == isinstance(kind, KnnSpec)  # it draws nothing


@pytest.mark.parametrize("name", ["mld", "forest", "knn"])
def test_the_random_state_of_the_caller_is_unchanged(name: str) -> None:
    import torch

    torch.manual_seed(4)
    np.random.seed(4)
    random.seed(4)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index,union-attr]
    kind = SMALL[name]
    fit(
        kind, sizes_of(world()), world(40), directions(), replace(kind.schedule, epochs=1), validation=world(20, seed=1)
    )
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # type: ignore[index,union-attr]
    assert random.getstate() == before[2]


# -- the best epoch ----------------------------------------------------------------------------------------------------


def contrary(examples: Examples) -> Examples:
    """Inverted targets: the more a network learns, the worse its validation mAP."""
    return replace(examples, targets=1 - examples.targets)


@pytest.mark.parametrize("kind", [LinearProbeSpec(), SMALL["mld"], SMALL["fusion"]], ids=repr)
def test_weights_are_those_of_the_best_epoch(kind: Kind) -> None:
    examples, judged = world(48), contrary(world(40, seed=1))
    schedule = replace(PLAIN, epochs=6, lr=0.01)

    def fitted(epochs: int, validation: Examples | None) -> Fitted:
        plan = replace(schedule, epochs=epochs)
        return fit(kind, sizes_of(examples), examples, directions(), plan, validation=validation)

    result = fitted(6, judged)
    assert result.best < 6
    assert result.history[result.best - 1].mAP == max(epoch.mAP or 0 for epoch in result.history) == result.mAP
    assert digest(result.weights) == digest(
        fitted(result.best, None).weights
    )  # without decay, the number of epochs has no effect
    assert digest(result.weights) != digest(fitted(6, None).weights)


def test_of_equally_good_epochs_the_first_is_kept_and_without_validation_the_last() -> None:
    examples = world(48)
    easy = world(30, seed=1, noise=0.05)
    plan = replace(PLAIN, epochs=8, lr=0.1)
    result = fit(LinearProbeSpec(), sizes_of(examples), examples, directions(), plan, validation=easy)
    reached = [epoch.mAP for epoch in result.history]
    assert reached[-1] == max(reached, key=lambda value: value or 0)
    assert result.best == reached.index(result.mAP) + 1 < 8
    last = fit(LinearProbeSpec(), sizes_of(examples), examples, directions(), plan)
    assert (last.best, last.mAP, {epoch.mAP for epoch in last.history}) == (8, None, {None})


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_training_stops_after_patience_epochs_without_improvement(patience: int) -> None:
    examples, judged = world(48), contrary(world(40, seed=1))
    plan = replace(PLAIN, epochs=30, lr=0.01, patience=patience)
    result = fit(LinearProbeSpec(), sizes_of(examples), examples, directions(), plan, validation=judged)
    assert len(result.history) == result.best + patience < 30
    alone = fit(LinearProbeSpec(), sizes_of(examples), examples, directions(), replace(plan, epochs=6))
    assert len(alone.history) == 6  # without validation, patience has no effect


def test_validation_equals_the_map_of_metrics() -> None:
    examples, judged = world(48), world(40, seed=1)
    for kind in (SMALL["mld"], SMALL["knn"]):
        result = fit(kind, sizes_of(examples), examples, directions(), PLAIN, validation=judged)
        scores = replace(_trained(kind), weights=result.weights).answer(judged.images, WORDS, directions())
        assert result.mAP == pytest.approx(metrics.average_precision(scores, judged.targets).mean(), abs=1e-9)


def _trained(kind: Kind) -> Trained:
    return trained(kind)


# -- numbers that are not finite --------------------------------------------------------------------------------------


@dataclass
class Broken:
    """Tokens that become NaN or unreadable from one read on."""

    tokens: Rows
    good: int
    error: Exception | None = None
    readings: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.tokens.shape

    def read(self, rows: Sequence[int] | Indices) -> Halves:
        self.readings += 1
        result = self.tokens.read(rows)
        if self.readings <= self.good:
            return result
        if self.error:
            raise self.error
        return np.full_like(result, np.nan)


def broken(good: int, error: Exception | None = None) -> Examples:
    examples = world(48)
    assert isinstance(examples.images.tokens, Rows)
    return replace(examples, images=replace(examples.images, tokens=Broken(examples.images.tokens, good, error)))


def test_a_nan_loss_stops_with_epoch_and_step_and_keeps_the_best_weights() -> None:
    """Three batches per epoch: the eighth is the second of the third epoch."""
    kind, plan = SMALL["mld,spatial"], replace(PLAIN, batch_size=16)
    with pytest.raises(
        DivergedError, match=r"found a loss of nan at epoch 3, step 2 of 3; the best weights so far, "
    ) as e:
        fit(kind, sizes_of(world()), broken(7), directions(), plan)
    assert "(--schedule lr=0.0003)" in str(e.value)
    assert "\n" not in str(e.value)
    kept = e.value.fitted
    assert kept is not None
    assert kept.best == len(kept.history) == 2
    two = fit(kind, sizes_of(world()), world(48), directions(), replace(plan, epochs=2))
    assert digest(kept.weights) == digest(two.weights)


def test_nothing_is_kept_of_a_first_epoch_that_diverges(tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT
    with pytest.raises(DivergedError, match=r"epoch 1, step 3 of 3; no epoch was finished") as caught:
        fit(SMALL["mld,spatial"], sizes_of(world()), broken(2), directions(), PLAIN, checkpoint=path)
    assert caught.value.fitted is None
    assert not path.exists()


EXPLODING = replace(PLAIN, epochs=30, lr=1e3, weight_decay=1e3, optimizer="adamw", batch_size=48)
"""Weights grow a millionfold per step, with one step per epoch: after six or seven they are infinite."""


@pytest.mark.parametrize("validation", [True, False])
@pytest.mark.parametrize("epochs", [30, *range(4, 9)])
def test_weights_that_explode_are_never_kept_wherever_the_training_ends(epochs: int, validation: bool) -> None:
    examples, judged = world(48), world(30, seed=1)
    plan = replace(EXPLODING, epochs=epochs)
    try:
        result: Fitted | None = fit(
            LinearProbeSpec(),
            sizes_of(examples),
            examples,
            directions(),
            plan,
            validation=judged if validation else None,
        )
    except DivergedError as error:
        result = error.fitted
    else:
        assert epochs < 8
    assert result is not None
    assert all(np.isfinite(value).all() for value in result.weights.values())
    scores = replace(_trained(LinearProbeSpec()), weights=result.weights).answer(judged.images, WORDS, directions())
    if validation:
        assert np.isfinite(scores).all()


# -- reading ahead -----------------------------------------------------------------------------------------------------


@dataclass
class Slow:
    """Slow tokens that record when and by which thread they were read."""

    tokens: Rows
    seconds: float
    threads: set[str] = field(default_factory=set)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.tokens.shape

    def read(self, rows: Sequence[int] | Indices) -> Halves:
        import threading

        self.threads.add(threading.current_thread().name)
        time.sleep(self.seconds)
        return self.tokens.read(rows)


def test_tokens_are_read_while_the_network_computes() -> None:
    examples = world(48)
    assert isinstance(examples.images.tokens, Rows)
    slow = Slow(examples.images.tokens, 0.06)
    late = replace(examples, images=replace(examples.images, tokens=slow))
    plan = replace(PLAIN, epochs=1, batch_size=6)  # eight batches
    with at_step(0, lambda: time.sleep(0.1)) as computing:
        result = fit(SMALL["mld,spatial"], sizes_of(world()), late, directions(), plan, progress=computing)
    assert all(name.startswith("zsprompt-read") for name in slow.threads)
    reading = 8 * slow.seconds
    assert result.history[0].waiting < 0.6 * reading  # it waits at least for the first batch
    assert result.history[0].waiting > 0.9 * slow.seconds
    idle = fit(SMALL["mld,spatial"], sizes_of(world()), late, directions(), plan)
    assert idle.history[0].waiting > 0.4 * reading  # a network without work waits for all of them


def test_an_error_while_reading_ahead_is_raised_unchanged(tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT
    with pytest.raises(CacheError, match="an entry damaged"):
        fit(
            *(
                SMALL["mld,spatial"],
                sizes_of(world()),
                broken(4, CacheError("found an entry damaged")),
                directions(),
                PLAIN,
            ),
            checkpoint=path,
        )
    whole = fit(SMALL["mld,spatial"], sizes_of(world()), world(48), directions(), PLAIN)
    again = fit(SMALL["mld,spatial"], sizes_of(world()), world(48), directions(), PLAIN, checkpoint=path)
    assert len(again.history) == 4
    assert digest(again.weights) == digest(whole.weights)


# -- valid combinations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("mld", {"loss": "asl+clip"}, "found adapter mld; use --schedule loss=asl"),
        ("fc", {"loss": "bce+clip"}, "found adapter fc; use --schedule loss=bce"),
        ("fc", {"selective": 3.0}, "which fc cannot"),
        ("fusion", {"selective": 3.0}, "which fusion cannot"),
        ("ml-decoder,groups", {"selective": 3.0}, "which ml-decoder cannot"),
    ],
)
def test_losses_that_do_not_suit_a_kind_are_refused(name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fit(SMALL[name], sizes_of(world()), world(), directions(), replace(PLAIN, **changes))


@pytest.mark.parametrize("loss", ["mse", "bce", "asl", "bce+clip", "asl+clip"])
@pytest.mark.parametrize("name", ["ml-decoder", "ml-decoder,groups", "ml-decoder,pooled"])
def test_every_loss_trains(loss: Any, name: str) -> None:
    result = fit(SMALL[name], sizes_of(world()), world(), directions(), replace(PLAIN, epochs=5, loss=loss))
    losses = [epoch.loss for epoch in result.history]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", ["mld", "mld,spatial", "ml-decoder", "dm-decoder"])
@pytest.mark.parametrize("selective", [0.0, 0.5, 100.0])
def test_selective_supervision_works_on_batches_without_present_labels(name: str, selective: float) -> None:
    examples = world(24)
    targets = examples.targets.copy()
    targets[2:] = 0
    plan = replace(PLAIN, epochs=2, batch_size=2, selective=selective)
    result = fit(SMALL[name], sizes_of(examples), replace(examples, targets=targets), directions(), plan)
    assert np.isfinite([epoch.loss for epoch in result.history]).all()


def test_batches_with_only_ignored_targets_have_no_effect() -> None:
    examples = replace(world(20), targets=np.full((20, len(WORDS)), -1, np.int8))
    result = fit(
        SMALL["ml-decoder"], sizes_of(world()), examples, directions(), replace(PLAIN, loss="bce+clip", epochs=2)
    )
    assert [epoch.loss for epoch in result.history] == [0.0, 0.0]


@pytest.mark.parametrize("name", ["linear-probe", "mld", "fusion", "knn"])
def test_ignored_targets_do_not_count_as_absent(name: str) -> None:
    """Half of the positives of each label are ignored. If they counted as absent, its probability would halve."""
    examples, asked = world(160, noise=0.05), world(60, seed=1, noise=0.05)
    targets = examples.targets.copy()
    hidden = (targets == 1) & (np.random.default_rng(9).random(targets.shape) < 0.5)
    plan = Schedule(epochs=14, batch_size=16, lr=0.02 if name == "linear-probe" else 4e-3, weight_decay=0, loss="bce")

    def said(value: int) -> float:
        shown = replace(examples, targets=np.where(hidden, value, targets).astype(np.int8))
        weights = fit(SMALL[name], sizes_of(examples), shown, directions(), plan).weights
        answer = replace(_trained(SMALL[name]), weights=weights).answer(asked.images, WORDS, directions())
        return float(np.median(probabilities(answer)[asked.targets == 1]))

    assert said(-1) > 0.8
    assert said(0) < 0.65


# -- train, on a data set and through the store ------------------------------------------------------------------------

MLD = MldSpec(heads=2, feed_forward=16, dropout=0.1)
QUICK = Schedule(epochs=3, batch_size=16, lr=2e-3, weight_decay=0.0, loss="bce")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Sixty drawn images with given and written captions."""
    chance = random.Random(2)
    sets = [tuple(label for label in LABELS if chance.random() < 0.3) for _ in range(60)]
    refs = draw_files(tmp_path_factory.mktemp("drawn"), sets)
    targets = np.array([[label in present for label in LABELS] for present in sets], dtype=np.int8)
    texts = tuple(" ".join(present) or "nothing" for present in sets)
    return Dataset("drawn", LABELS, refs, targets, split="all", captions=texts, written=texts[::-1])


def learn(data: Dataset, kind: Kind | str = MLD, encoder: Any = None, **options: Any) -> Course:
    with EmbeddingStore(encoder or SpatialPlanted(), cache=options.pop("cache", None)) as store:
        return train(kind, data, store, **({"schedule": QUICK, "device": "cpu"} | options))


def part(data: Dataset, *positions: int) -> Dataset:
    return data.select(list(range(*positions)))


def labelled(data: Dataset, column: int, value: int) -> Dataset:
    targets = data.targets.copy()
    targets[:, column] = value
    return replace(data, targets=targets)


def test_a_training_run_leaves_the_adapter_its_history_and_a_plot_and_no_checkpoint(
    drawn: Dataset, tmp_path: Path
) -> None:
    course = learn(drawn, out=tmp_path / "a" / "b", validation=0.25)
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == [FILE, HISTORY]
    result = load_adapter(tmp_path / "a" / "b")
    assert digest(result.weights) == digest(course.trained.weights)
    assert result.facts == course.trained.facts
    with (tmp_path / "a" / "b" / HISTORY).open() as file:
        rows = list(csv.DictReader(file))
    assert [list(row) for row in rows] == [list(asdict(course.history[0]))] * 3
    assert [float(row["loss"]) for row in rows] == pytest.approx([epoch.loss for epoch in course.history], rel=1e-5)
    assert [float(row["mAP"]) for row in rows] == pytest.approx([epoch.mAP for epoch in course.history], rel=1e-5)
    assert ET.parse(str(save_training_curve(course, tmp_path))).getroot().tag.endswith("svg")
    assert result.facts["data"]["images"] == 45
    assert result.facts["data"]["validation_images"] == 15
    assert result.facts["metrics"]["validation_mAP"] == course.history[course.best - 1].mAP
    assert (result.model, result.fingerprint, result.labels) == ("planted", "planted/1", LABELS)


@pytest.mark.parametrize(
    "kind", ["fc", "linear-probe", "knn,k=3", "forest,trees=5", "fusion,hidden=16", MLD, "ml-decoder"]
)
def test_an_adapter_is_evaluated_like_any_strategy(kind: Any, drawn: Dataset) -> None:
    with EmbeddingStore(SpatialPlanted(), cache=None) as store:
        schedule = replace(QUICK, epochs=8, lr=5e-3) if not isinstance(kind, str) or kind[0] in "flm" else None
        course = train(kind, part(drawn, 40), store, validation=0, schedule=schedule, device="cpu")
        result = run(Adapter(course.trained, device="cpu"), part(drawn, 40, 60), store)
    assert result.mAP > 1.3 * metrics.mean_over_labels(metrics.prevalence(result.targets))
    assert result.recipe["supervision"] == "trained"
    assert result.recipe["adapter"]["digest"] == course.trained.digest
    assert not any("was trained on" in warning for warning in result.warnings)


def test_training_images_are_counted_in_the_warnings(drawn: Dataset) -> None:
    with EmbeddingStore(PlantedEncoder(), cache=None) as store:
        for validation in (0, 0.5):  # validation images count too
            course = train(MLD, part(drawn, 40), store, validation=validation, schedule=QUICK, device="cpu")
            result = run(Adapter(course.trained, device="cpu"), part(drawn, 30, 60), store)
            assert any(
                warning.startswith("the adapter was trained on 10 of these 30 images") for warning in result.warnings
            )
        elsewhere = replace(part(drawn, 30, 60), name="another")
        assert not any(
            "was trained on" in w for w in run(Adapter(course.trained, device="cpu"), elsewhere, store).warnings
        )


@given(share=st.floats(0.02, 0.9), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_held_out_images_are_not_trained_on(share: float, seed: int) -> None:
    images = [type("Ref", (), {"id": f"{i}"})() for i in range(100)]
    targets = (np.random.default_rng(1).random((100, 4)) < 0.3).astype(np.int8)
    data = Dataset("d", ("a", "b", "c", "d"), images, targets)
    learning, judging, notes = split_off(data, share, replace(QUICK, seed=seed))
    assert judging is not None
    ids = [image.id for image in learning.images], [image.id for image in judging.images]
    assert not set(ids[0]) & set(ids[1])
    assert sorted(ids[0] + ids[1]) == sorted(image.id for image in images)
    assert len(ids[1]) == round(100 * share)
    assert notes == []


def test_few_images_are_held_out_only_on_request_with_a_note(drawn: Dataset) -> None:
    course = learn(drawn)
    assert course.best == 3
    assert course.notes == (
        f"fewer than {ENOUGH} images, so none are held out to choose the best epoch; the last epoch is taken",
    )
    assert learn(drawn, validation=0).notes == ()
    assert learn(drawn, validation=0.001).notes == (
        "a share of 0.001 is less than one image, so none are held out; the last epoch is taken",
    )


def test_kinds_without_epochs_use_all_images_and_are_validated_on_request(drawn: Dataset) -> None:
    many = replace(drawn.select([i % 60 for i in range(600)]), images=[*drawn.images] * 10)
    plain = learn(many, "knn", schedule=None)
    assert plain.trained.facts["data"]["images"] == 600
    assert (plain.notes, plain.best, plain.history) == ((), 0, ())
    assert plain.trained.facts["recipe"] == {
        "adapter": "knn",
        "seed": 0,
    }  # no loss and no learning rate, because none was used
    judged = learn(drawn, "forest,trees=9", schedule=None, validation=0.25).trained.facts["metrics"]["validation_mAP"]
    assert 0.5 < judged <= 1


@pytest.mark.parametrize("share", [1.0, 1.5, -0.1, float("nan"), float("inf")])
def test_invalid_shares_are_refused(share: float, drawn: Dataset) -> None:
    with pytest.raises(UsageError, match="validation share"):
        learn(drawn, validation=share)


def test_validation_data_are_reordered_by_label_and_must_be_disjoint(drawn: Dataset) -> None:
    one = learn(part(drawn, 40), validation=part(drawn, 40, 60))
    other = learn(part(drawn, 40), validation=part(drawn, 40, 60).with_labels(LABELS[::-1]))
    assert one.history[-1].mAP == other.history[-1].mAP
    with pytest.raises(TrainingError, match=r"found 10 that are \(0030.png\)"):
        learn(part(drawn, 40), validation=part(drawn, 30, 60))
    with pytest.raises(UsageError, match="expected the labels of drawn"):
        learn(part(drawn, 40), validation=part(drawn, 40, 60).with_labels(LABELS[:3]))
    with pytest.raises(TrainingError, match="expected positives in the 20 validation images"):
        learn(part(drawn, 40), validation=replace(part(drawn, 40, 60), targets=np.zeros((20, 8), np.int8)))


@pytest.mark.parametrize(("value", "what"), [(0, "positives"), (1, "negatives"), (-1, "positives")])
def test_labels_that_cannot_be_learned_are_named(value: int, what: str, drawn: Dataset) -> None:
    with pytest.raises(
        TrainingError, match=rf"expected {what} of every label .* none of dog; .*--without \"dog\""
    ) as result:
        learn(labelled(drawn, 1, value))
    assert "\n" not in str(result.value)
    with pytest.raises(TrainingError, match="cat, dog, person, motorcycle, cycle and 3 more"):
        learn(replace(drawn, targets=np.full_like(drawn.targets, value)))


@pytest.mark.parametrize(
    "kind", ["fc", "mld,heads=2", "ml-decoder,tokens=pooled", "knn", "forest,trees=3", "fusion,hidden=8"]
)
def test_one_label_is_enough(kind: str, drawn: Dataset) -> None:
    one = drawn.with_labels(["dog"])
    schedule = QUICK if kind[:2] not in ("kn", "fo") else None
    course = learn(one, kind, validation=0.25, schedule=schedule)
    assert course.trained.labels == ("dog",)
    assert course.trained.facts["metrics"]["validation_mAP"] > 0


@pytest.mark.parametrize("labels", [(" ", "dog"), ("dog", "Dog"), ("a|b", "c")])
def test_invalid_labels_are_refused(labels: tuple[str, ...], drawn: Dataset) -> None:
    two = drawn.with_labels(LABELS[:2])
    with pytest.raises(LabelError):
        learn(replace(two, labels=labels))


def test_unreadable_images_are_refused_or_excluded(drawn: Dataset, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    bad = replace(drawn.images[0], id="bad.png", path=tmp_path / "bad.png")  # type: ignore[type-var]
    damaged = replace(drawn, images=[bad, *drawn.images[1:]])
    with pytest.raises(BadImages, match=r"bad\.png"):
        learn(damaged)
    without, expected = learn(damaged, skip_bad=True), learn(part(drawn, 1, 60))
    assert digest(without.trained.weights) == digest(expected.trained.weights)
    assert without.trained.facts["data"]["images"] == 59
    only = labelled(damaged, 0, 0)
    only.targets[0, 0] = 1
    with pytest.raises(TrainingError, match="expected positives of every label among the 59 training images"):
        learn(only, skip_bad=True)


def test_a_resume_gives_the_same_result_and_overwrites_nothing(drawn: Dataset, tmp_path: Path) -> None:
    whole = learn(drawn, out=tmp_path / "whole", validation=0.25)
    out = tmp_path / "stopped"
    with at_step(4, stop) as progress, pytest.raises(Stop):
        learn(drawn, out=out, validation=0.25, progress=progress)
    assert [path.name for path in out.iterdir()] == [CHECKPOINT]
    before = (out / CHECKPOINT).read_bytes()
    with pytest.raises(TrainingError, match="found one; continue it with --resume, use another --out, or pass --force"):
        learn(drawn, out=out, validation=0.25)
    for changes, message in (
        ({"schedule": replace(QUICK, lr=1e-3)}, "lr 0.002 instead of 0.001"),
        ({"validation": 0.2}, "with images drawn all without 15 for validation"),
        ({"prompts": "bare"}, "prompts photo .* instead of bare"),
        ({"kind": "fc"}, "adapter mld"),
        ({"encoder": SpatialPlanted(fingerprint="planted/2")}, "model planted/1 instead of planted/2"),
        ({"data": drawn.with_labels(LABELS[::-1])}, "labels cat"),
        ({"data": labelled(drawn, 0, 1 - drawn.targets[0, 0])}, "expected (positives|negatives)"),
    ):
        options: dict[str, Any] = {"data": drawn, "out": out, "validation": 0.25, "resume": True} | changes
        with pytest.raises(TrainingError, match=message):
            learn(**options)
        assert (out / CHECKPOINT).read_bytes() == before
    result = learn(drawn, out=out, validation=0.25, resume=True)
    assert digest(result.trained.weights) == digest(whole.trained.weights)
    assert sorted(path.name for path in out.iterdir()) == [FILE, HISTORY]


def test_a_resume_returns_a_finished_training_run_and_refuses_another_one(drawn: Dataset, tmp_path: Path) -> None:
    first = learn(drawn, out=tmp_path, validation=0.25)
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = learn(drawn, out=tmp_path, validation=0.25, resume=True)
    assert (again.history, again.best, again.trained.digest) == (first.history, first.best, first.trained.digest)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times
    with pytest.raises(TrainingError, match="finished one with epochs 3 instead of 4"):
        learn(drawn, out=tmp_path, validation=0.25, resume=True, schedule=replace(QUICK, epochs=4))
    with pytest.raises(TrainingError, match="finished one with adapter mld"):
        learn(drawn, "knn", out=tmp_path, validation=0.25, resume=True)
    new = learn(drawn, out=tmp_path / "new", validation=0.25, resume=True)  # stopped before the end of its first epoch
    assert new.trained.digest == first.trained.digest


def test_a_resume_next_to_a_foreign_adapter_is_refused_in_one_line(drawn: Dataset, tmp_path: Path) -> None:
    save_adapter(_trained(FcSpec()), tmp_path / FILE)
    with pytest.raises(TrainingError, match="found a finished one with adapter None instead of mld"):
        learn(drawn, out=tmp_path, resume=True)
    course = learn(drawn)
    facts = {**course.trained.facts, "history": [{"number": 1}]}
    save_adapter(replace(course.trained, facts=facts), tmp_path / FILE)
    with pytest.raises(TrainingError, match="expected the history of a training run"):
        learn(drawn, out=tmp_path, resume=True)
    (tmp_path / FILE).write_bytes(b"<html>")
    with pytest.raises(OutputError, match="found a file that zsprompt did not write"):
        learn(drawn, out=tmp_path, resume=True)


def test_a_diverged_training_run_keeps_its_best_weights_with_a_note(drawn: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    exploding = replace(EXPLODING, batch_size=60)
    with pytest.raises(
        TrainingError, match=r"at epoch \d, step 1 of 1; the best weights so far, of epoch \d, are kept"
    ):
        learn(drawn, "linear-probe", out=out, validation=0.25, schedule=exploding)
    result = load_adapter(out)
    assert sorted(path.name for path in out.iterdir()) == [FILE, HISTORY]
    assert result.facts["metrics"]["epochs"] >= result.facts["metrics"]["best_epoch"] >= 1
    with pytest.raises(
        TrainingError, match="the best weights so far"
    ):  # they are not taken for a finished training run
        learn(drawn, "linear-probe", out=out, validation=0.25, schedule=exploding, resume=True)
    many = replace(exploding, batch_size=4)
    with pytest.raises(TrainingError, match=r"epoch 1, step .* no epoch was finished"):
        learn(drawn, "linear-probe", out=tmp_path / "none", schedule=many)
    assert not (tmp_path / "none").exists()


def test_unwritable_folders_are_refused_in_one_line_before_any_work(drawn: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    encoder = PlantedEncoder()
    for out in (tmp_path / "file", tmp_path / "file" / "deeper", tmp_path / ("x" * 300)):
        with pytest.raises(OutputError, match="cannot write folder") as caught:
            learn(drawn, encoder=encoder, out=out)
        assert "\n" not in str(caught.value)
    assert encoder.image_batches == []


def test_every_epoch_is_logged(drawn: Dataset) -> None:
    lines: list[str] = []
    with heard_by(lines.append):
        course = learn(drawn, validation=0.25)
    assert [line.partition(":")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    for line, epoch in zip(lines, course.history, strict=True):
        assert f"loss {epoch.loss:.4g}, validation mAP {100 * epoch.mAP:.1f} (best " in line


def test_the_json_output_has_no_list_of_images(drawn: Dataset) -> None:
    lines = learn(drawn, validation=0.25).to_dict()
    assert lines["data"]["images"] == 45
    assert not {"ids", "history", "identity"} & (set(lines) | set(lines["data"]))


# -- captions and tokens -----------------------------------------------------------------------------------------------


def test_given_and_written_captions_are_both_read(drawn: Dataset) -> None:
    both = learn(drawn, "fusion,hidden=16")
    assert (both.trained.sizes.captions, both.trained.captions) == (2, ("given", "written"))
    given_alone = learn(replace(drawn, written=None), "fusion,hidden=16")
    assert (given_alone.trained.sizes.captions, given_alone.trained.captions) == (1, ("given",))
    written = learn(replace(drawn, captions=None), "fusion,hidden=16")
    assert (written.trained.sizes.captions, written.trained.captions) == (1, ("written",))
    with EmbeddingStore(PlantedEncoder(), cache=None) as store:
        bare = replace(drawn, captions=None, written=None)
        for data, message in (
            (given_alone, "2 captions per image .given, written."),
            (bare, "--image-captions FILE"),
        ):
            asked = replace(drawn, written=None) if data is given_alone else bare
            with pytest.raises(ZspromptError, match=message):
                run(Adapter(both.trained, device="cpu"), asked, store)
    with pytest.raises(DataError, match="--image-captions FILE"):
        learn(bare, "fusion,hidden=16")
    assert learn(bare, "fusion,hidden=16,inputs=image").trained.sizes.captions == 0


def test_long_captions_are_truncated_at_words_and_counted(drawn: Dataset) -> None:
    encoder = PlantedEncoder(context_length=5)
    long = tuple("dog cat  sofa\tcar carrot cycle person" if i % 3 == 0 else "cat" for i in range(60))
    lines: list[str] = []
    data = replace(drawn, captions=long, written=None)
    with heard_by(lines.append):
        course = learn(data, "fusion,hidden=16,inputs=captions", encoder)
    assert lines[0] == "20 image captions truncated to fit the model"
    assert "dog cat sofa car carrot" in encoder.texts_seen
    with EmbeddingStore(PlantedEncoder(context_length=5), cache=None) as store:
        warnings = run(Adapter(course.trained, device="cpu"), data, store).warnings
    assert "20 image captions truncated to fit the model" in warnings


@settings(max_examples=40, deadline=None)
@given(words=st.lists(st.sampled_from(["dog", "cat", "a", "of"]), max_size=12), room=st.integers(1, 9))
def test_a_caption_keeps_as_many_words_as_fit(words: list[str], room: int) -> None:
    with EmbeddingStore(PlantedEncoder(context_length=room), cache=None) as store:
        assert _fitting([" ".join(words)], store) == ([" ".join(words[:room])], int(len(words) > room))
        assert embed([], store, {"captions"}, [[], []]).images.vectors.shape == (0, 256)


def test_only_kinds_that_read_tokens_request_them(drawn: Dataset) -> None:
    encoder = SpatialPlanted()
    learn(drawn, MLD, encoder)
    assert encoder.token_batches == []
    learn(drawn, replace(MLD, tokens="spatial"), encoder)
    assert sum(encoder.token_batches) == 60
    with pytest.raises(ModelError, match="expected a model with spatial tokens, found planted"):
        learn(drawn, "ml-decoder", PlantedEncoder())


def test_labels_too_long_for_the_encoder_are_refused(drawn: Dataset) -> None:
    two = replace(drawn.with_labels(LABELS[:2]), labels=("cat", "dog " * 30 + "x"))
    with pytest.raises(LabelError, match="shorten the label"):
        learn(two, encoder=PlantedEncoder(context_length=20))


# -- repeated ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_fractions_and_seeds_with_means_and_deviations(drawn: Dataset, tmp_path: Path) -> None:
    encoder = PlantedEncoder()
    with EmbeddingStore(encoder, cache=None) as store:

        def all_of_them() -> Any:
            return repeat(
                *(MLD, part(drawn, 45), store),
                fractions=(0.5, 1.0, 0.5),
                seeds=3,
                test=part(drawn, 45, 60),
                out=tmp_path,
                schedule=replace(QUICK, seed=7),
                validation=0.2,
                device="cpu",
            )

        actual = all_of_them()
        assert [(one.fraction, one.seed) for one in actual] == [(f, s) for f in (0.5, 1.0) for s in (7, 8, 9)]
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            f"fraction-{f}-seed-{s}" for f in ("0.5", "1") for s in (7, 8, 9)
        )
        frame = repeats_frame(actual)
        assert frame["images"].tolist() == [18, 36]  # 22 of 45, with a fifth of each held out
        assert frame["seeds"].tolist() == [3, 3]
        for row, fraction in zip(frame.to_dict("records"), (0.5, 1.0), strict=True):
            ours = [one for one in actual if one.fraction == fraction]
            for name, values in (
                ("test_mAP", [one.result.mAP for one in ours]),
                ("validation_mAP", [max(epoch.mAP for epoch in one.course.history) for one in ours]),
            ):
                mean = sum(values) / 3
                assert row[name] == pytest.approx(mean)
                assert row[f"{name}_deviation"] == pytest.approx((sum((v - mean) ** 2 for v in values) / 2) ** 0.5)
        assert len({one.course.trained.digest for one in actual}) == 6
        times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob(FILE)}
        again = all_of_them()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob(FILE)} == times
    assert [one.course.trained.digest for one in again] == [one.course.trained.digest for one in actual]
    assert [one.result.mAP for one in again] == [one.result.mAP for one in actual]


def test_stopped_repeats_are_resumed(drawn: Dataset, tmp_path: Path) -> None:
    def some(out: Path | None, **options: Any) -> list[str]:
        with EmbeddingStore(PlantedEncoder(), cache=None) as store:
            result = repeat(MLD, drawn, store, seeds=2, out=out, schedule=QUICK, device="cpu", **options)
        return [one.course.trained.digest for one in result]

    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        if len(lines) == 7:  # in the second epoch of the second seed
            raise Stop

    with pytest.raises(Stop), heard_by(tell):
        some(tmp_path)
    assert lines[0] == "fraction 1, seed 0"
    assert (tmp_path / "fraction-1-seed-1" / CHECKPOINT).exists()
    lines.clear()
    with heard_by(lines.append):
        result = some(tmp_path)
    assert result == some(None)
    assert [line.partition(":")[0] for line in lines] == ["fraction 1, seed 0", "fraction 1, seed 1", "epoch 3/3"]


@pytest.mark.parametrize("fractions", [(0.0,), (1.1,), (-1.0,), (float("nan"),)])
def test_invalid_fractions_are_refused_before_any_training(fractions: Any, drawn: Dataset) -> None:
    encoder = PlantedEncoder()
    with EmbeddingStore(encoder, cache=None) as store:
        with pytest.raises(UsageError, match="fraction above 0 and at most 1"):
            repeat(MLD, drawn, store, fractions=(1.0, *fractions), schedule=QUICK)
        with pytest.raises(UsageError, match="1 to 1000 seeds, got 0"):
            repeat(MLD, drawn, store, seeds=0, schedule=QUICK)
        with pytest.raises(UsageError, match="seed"):
            repeat(MLD, drawn, store, seeds=2, schedule=replace(QUICK, seed=2**32 - 1))
    assert encoder.image_batches == []


def test_one_seed_has_no_deviation(drawn: Dataset) -> None:
    with EmbeddingStore(PlantedEncoder(), cache=None) as store:
        result = repeat(MLD, drawn, store, schedule=QUICK, device="cpu")
    (row,) = repeats_frame(result).to_dict("records")
    assert (row["fraction"], row["images"], row["seeds"]) == (1.0, 60, 1)
    assert all(np.isnan(row[name]) for name in ("validation_mAP", "validation_mAP_deviation", "test_mAP_deviation"))


def test_a_finished_adapter_is_not_overwritten(drawn: Dataset, tmp_path: Path) -> None:
    first = learn(drawn, out=tmp_path, validation=0.25)
    with pytest.raises(TrainingError, match=r"expected no adapter in .*, found adapter.safetensors; use another --out"):
        learn(drawn, "knn", out=tmp_path)
    assert load_adapter(tmp_path).digest == first.trained.digest
