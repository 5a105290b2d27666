"""Train a network on stored embeddings: epochs, checkpoints, and the best weights by validation mAP."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter as clock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils import file_kinds
from zsprompt._utils.arrays import Floats, Indices, Targets
from zsprompt._utils.progress import Progress, quiet
from zsprompt._utils.read_ahead import ahead
from zsprompt.adapters.examples import Examples
from zsprompt.adapters.forward import answer, as_array, state, tensors
from zsprompt.adapters.job import Epoch, Fitted, Job, mean_ap
from zsprompt.adapters.kinds.base import Kind, Sizes
from zsprompt.adapters.kinds.with_epochs import WithEpochs
from zsprompt.adapters.registry import name_of, spec_of
from zsprompt.adapters.schedule import Schedule
from zsprompt.adapters.tensors import read_arrays, write_arrays
from zsprompt.errors import AdapterError, TrainingError, UsageError
from zsprompt.store.image_embeddings import Images

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

CLIP_SCALE = 1 / 0.07
"""Factor of the cosines in the contrastive loss: the initial temperature of CLIP (Radford et al. 2021, 2.5)."""

_AHEAD = 2
_WORTH_SHARING = 2**27  # B · C · D²: multiplications of one D by D layer in a step
_LOOK = 32  # steps between checks of the losses: checking each one would make a GPU wait


class DivergedError(TrainingError):
    """The loss, a weight or a validation score is not finite. `fitted` holds the best earlier weights, if any."""

    def __init__(self, text: str, fitted: Fitted | None) -> None:
        super().__init__(text)
        self.fitted = fitted


def fit(
    kind: Kind,
    sizes: Sizes,
    training: Examples,
    texts: Floats,
    schedule: Schedule,
    *,
    validation: Examples | None = None,
    checkpoint: Path | None = None,
    identity: Mapping[str, str] | None = None,
    device: str = "cpu",
    progress: Progress = quiet,
) -> Fitted:
    """Train a kind of adapter on images with targets.

    The same arguments give the same weights, also after a stop and a resume from the checkpoint. On a CPU with the
    same number of threads they are equal to the bit.

    Args:
        kind: the kind to train.
        sizes: sizes of its network.
        training: images to train on.
        texts: [C, D] text embeddings of the labels, unit rows.
        schedule: the settings of the training run.
        validation: images that choose the best epoch; without them, the last epoch is taken.
        checkpoint: file written after every epoch. If it exists, training resumes from it. It is not deleted.
        identity: everything else that the training run depends on; a checkpoint with another identity is refused.
        device: "cpu" or "cuda"; on a GPU, products are in bfloat16, weights and losses in float32.
        progress: receives the number of steps.

    Raises:
        UsageError: sizes or losses that do not suit the kind.
        TrainingError: numbers are no longer finite (DivergedError), or the checkpoint belongs to another training run.
    """
    kind.check(sizes)
    job = Job(sizes, training, texts, schedule, validation, checkpoint, identity or {}, device, progress)
    return kind.learn(job)


def run_epochs(kind: WithEpochs, job: Job) -> Fitted:
    """Train a network; see `fit`."""
    schedule, checkpoint = job.schedule, job.checkpoint
    check_loss(kind, schedule)
    with _isolated_randomness(), _few_threads(job.sizes, schedule):
        run = _Run(kind, job.sizes, job.training, job.texts, schedule, job.validation, job.device)
        settings = _settings(kind, schedule, job.identity)
        if checkpoint is not None and checkpoint.exists():
            run.resume(checkpoint, settings)
        total = run.steps * schedule.epochs
        with ThreadPoolExecutor(1, "zsprompt-read") as reader, job.progress("steps", total, "steps") as advance:
            advance(run.steps * len(run.history))
            while not run.finished:
                epoch = run.epoch(reader, advance)
                if checkpoint is not None:
                    run.save(checkpoint, settings)
                logger.info(_line(epoch, run))
    return run.fitted()


def check_loss(kind: WithEpochs, schedule: Schedule) -> None:
    """Raise UsageError for a loss or a supervision that the kind cannot be trained with."""
    if schedule.loss.endswith("+clip") and not kind.aligns:
        raise UsageError(
            f"loss {schedule.loss} is for ml-decoder, which projects images and labels into one space, "
            f"found adapter {name_of(kind)}; use --schedule loss={schedule.loss.removesuffix('+clip')}"
        )
    if schedule.selective is not None and kind.bound:
        raise UsageError(
            f"selective supervision trains on some labels at a time, which {name_of(kind)} cannot: it has weights per "
            "label; remove selective from --schedule"
        )


@dataclass
class _Run:
    """The state of one training run."""

    kind: WithEpochs
    sizes: Sizes
    training: Examples
    texts: Floats
    schedule: Schedule
    validation: Examples | None
    device: str
    history: list[Epoch] = field(default_factory=list)
    best: int = 0
    best_weights: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        import torch

        torch.manual_seed(_seed(self.schedule.seed, 0))
        self.network = self.kind.network(self.sizes).to(self.device)
        optimizer = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[self.schedule.optimizer]
        self.optimizer: torch.optim.Optimizer = optimizer(
            self.network.parameters(), lr=self.schedule.lr, weight_decay=self.schedule.weight_decay
        )
        self.kind.begin(self.network, self.training, self.texts)
        self.steps = math.ceil(len(self.training.images) / self.schedule.batch_size)
        self.labels = torch.from_numpy(np.array(self.texts)).to(self.device)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the patience is used up."""
        done, patience = len(self.history), self.schedule.patience
        if done >= self.schedule.epochs:
            return True
        return patience is not None and self.validation is not None and done - self.best >= patience

    def fitted(self) -> Fitted:
        """The best weights so far."""
        return Fitted(self.best_weights, self.best, tuple(self.history), self.history[self.best - 1].mAP)

    def epoch(self, reader: ThreadPoolExecutor, advance: Callable[[int], None]) -> Epoch:
        """One pass over the images, in random order."""
        import torch

        number = len(self.history) + 1
        start = clock()
        seed = _seed(self.schedule.seed, number)
        torch.manual_seed(seed)
        drawn = torch.Generator().manual_seed(seed)
        order = np.random.RandomState(seed).permutation(len(self.training.images))
        rows = [order[i : i + self.schedule.batch_size] for i in range(0, len(order), self.schedule.batch_size)]
        self.network.train()
        losses: list[torch.Tensor] = []
        waiting, rate = 0.0, self.schedule.lr
        batches = ahead(reader, self._read, rows, _AHEAD)
        for step in range(len(rows)):
            before = clock()
            batch, targets = next(batches)
            waiting += clock() - before
            rate = self.schedule.rate((number - 1) * self.steps + step, self.schedule.epochs * self.steps)
            losses.append(self._step(batch, targets, rate, drawn))
            if (step + 1) % _LOOK == 0 or step + 1 == len(rows):
                self._look(losses, number)
            advance(1)
        loss = float(torch.stack(losses).double().mean())
        if not all(bool(torch.isfinite(value).all()) for value in self.network.parameters()):
            raise self._diverged("weights that are not", number, len(rows))  # no loss covers the last step
        mean_precision = self._validated(number)
        done = Epoch(number, loss, mean_precision, rate, clock() - start, waiting)
        self.history.append(done)
        if mean_precision is None or not self.best or mean_precision > max(e.mAP or 0.0 for e in self.history[:-1]):
            self.best, self.best_weights = number, state(self.network)
        return done

    def _read(self, rows: Indices) -> tuple[Images, Targets]:
        return self.training.images.read(rows), self.training.targets[rows]

    def _step(self, batch: Images, targets: Targets, rate: float, drawn: torch.Generator) -> torch.Tensor:
        import torch

        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.device != "cpu"):
            loss = self._loss(batch, torch.from_numpy(targets), drawn)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def _loss(self, batch: Images, targets: torch.Tensor, drawn: torch.Generator) -> torch.Tensor:
        from zsprompt.adapters import losses

        labels = self.labels
        if self.schedule.selective is not None:
            chosen = losses.selected_labels(targets, self.schedule.selective, drawn)
            targets, labels = targets[:, chosen], labels[chosen.to(labels.device)]
        targets = targets.to(self.device)
        images = tensors(batch, self.device)
        name, _, contrast = self.schedule.loss.partition("+")
        criterion: Callable[..., torch.Tensor] = {"mse": losses.mse, "bce": losses.bce, "asl": losses.asl}[name]
        loss = criterion(self.kind.logits(self.network, images, labels).float(), targets)
        if contrast:
            projected, words = self.kind.aligned(self.network, images, labels)
            contrastive = losses.contrastive(projected.float(), words.float(), targets, CLIP_SCALE)
            loss = loss + self.schedule.clip_weight * contrastive
        return loss

    def _look(self, losses: list[torch.Tensor], number: int) -> None:
        import torch

        bad = (~torch.isfinite(torch.stack(losses))).nonzero()
        if len(bad):
            raise self._diverged(f"a loss of {float(losses[int(bad[0])])}", number, int(bad[0]) + 1)

    def _diverged(self, fault: str, number: int, step: int) -> DivergedError:
        kept = f"the best weights so far, of epoch {self.best}, are kept" if self.best else "no epoch was finished"
        return DivergedError(
            f"expected finite numbers, found {fault} at epoch {number}, step {step} of {self.steps}; {kept}; "
            f"lower the learning rate (--schedule lr={self.schedule.lr / 10:g})",
            self.fitted() if self.best else None,
        )

    def _validated(self, number: int) -> float | None:
        if self.validation is None:
            return None
        self.network.eval()
        scores = answer(self.kind, self.network, self.validation.images, self.texts, self.device)
        if not np.isfinite(scores).all():
            raise self._diverged("validation scores that are not", number, self.steps)
        return mean_ap(scores, self.validation.targets)

    def save(self, path: Path, settings: Mapping[str, str]) -> None:
        """Write everything that the next epoch depends on."""
        arrays = {f"network.{name}": value for name, value in state(self.network).items()}
        arrays |= {f"best.{name}": value for name, value in self.best_weights.items()}
        for position, moments in self.optimizer.state_dict()["state"].items():
            arrays |= {f"optimizer.{position}.{name}": as_array(value) for name, value in moments.items()}
        facts = {
            "said": dict(settings),
            "best": self.best,
            "history": [asdict(epoch) for epoch in self.history],
        }
        write_arrays(path, file_kinds.CHECKPOINT, arrays, facts)

    def resume(self, path: Path, settings: Mapping[str, str]) -> None:
        """Continue from a checkpoint. Raises TrainingError if it is damaged or belongs to another training run."""
        import torch

        try:
            arrays, facts = read_arrays(path, "checkpoint")
        except AdapterError as error:
            raise TrainingError(f"cannot resume: {error}, or start again in another --out") from None
        recorded = facts.get("said")
        for key, value in settings.items():
            if not isinstance(recorded, dict) or recorded.get(key) != value:
                before = recorded.get(key) if isinstance(recorded, dict) else None
                raise TrainingError(
                    f"expected a checkpoint of this training run in {path}, found one with {key} {before} instead of "
                    f"{value}; use the options it was started with, or another --out"
                )
        try:
            self.history = [Epoch(**epoch) for epoch in facts["history"]]
            self.best = int(facts["best"])
            self.best_weights = _part(arrays, "best.")
            now = _part(arrays, "network.")
            self.network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in now.items()})
            saved = self.optimizer.state_dict()
            for key, moments in _part(arrays, "optimizer.").items():
                position, _, moment = key.partition(".")
                saved["state"].setdefault(int(position), {})[moment] = torch.from_numpy(np.array(moments))
            self.optimizer.load_state_dict(saved)
            self._check_whole()
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise TrainingError(
                f"expected a complete checkpoint in {path}, found damage ({reason}); delete it"
            ) from None

    def _check_whole(self) -> None:
        """Raise ValueError unless the checkpoint is complete and all sizes are right."""
        if not 1 <= self.best <= len(self.history):
            raise ValueError(f"{self.best} as the best of {len(self.history)} epochs")
        wanted = {name: value.shape for name, value in state(self.network).items()}
        if {name: value.shape for name, value in self.best_weights.items()} != wanted:
            raise ValueError("best weights that do not fit the network")
        moments = self.optimizer.state_dict()["state"]
        for position, parameter in enumerate(self.network.parameters()):
            shapes = {name: value.shape for name, value in moments.get(position, {}).items()}
            if shapes != {"step": (), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}:
                raise ValueError(f"moments of the wrong size for parameter {position}")


def _part(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _settings(kind: Kind, schedule: Schedule, identity: Mapping[str, str]) -> dict[str, str]:
    return {name: str(value) for name, value in asdict(schedule).items()} | {"adapter": spec_of(kind)} | dict(identity)


def _seed(seed: int, epoch: int) -> int:
    """One number per seed and epoch, so that an epoch does not depend on the random state of earlier ones."""
    return int.from_bytes(hashlib.sha256(f"{seed} {epoch}".encode()).digest()[:4], "big")


def _line(epoch: Epoch, run: _Run) -> str:
    text = f"epoch {epoch.number}/{run.schedule.epochs}: loss {epoch.loss:.4g}"
    if epoch.mAP is None:
        return text
    best = max(e.mAP or 0.0 for e in run.history)
    return f"{text}, validation mAP {100 * epoch.mAP:.1f} (best {100 * best:.1f}, epoch {run.best})"


@contextmanager
def _few_threads(sizes: Sizes, schedule: Schedule) -> Iterator[None]:
    """One thread where a step is too small for several: threads would wait for each other longer than they compute.

    A busy machine makes this worse: see "Adapters" in benchmarks/README.md.
    """
    import torch

    before = torch.get_num_threads()
    if schedule.batch_size * sizes.labels * sizes.dim**2 < _WORTH_SHARING:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _isolated_randomness() -> Iterator[None]:
    """Keep the random state of the caller unchanged."""
    import torch

    with torch.random.fork_rng(range(torch.cuda.device_count())):  # without a list, torch warns about several devices
        yield
