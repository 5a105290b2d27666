"""zsprompt train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zsprompt._utils.registry import DEFAULT_MODEL, DEFAULT_STRATEGY
from zsprompt._utils.text import finite
from zsprompt.cli.course import measured, show_course
from zsprompt.cli.given_run import GivenRun, Old, read_family, takes_run
from zsprompt.cli.modes import SELF_TRAINING, TRAIN_ON_TARGETS, TRAIN_SEVERAL
from zsprompt.cli.options import HiddenForce, Json, argument, option
from zsprompt.cli.self_train import self_train
from zsprompt.cli.session import note, notes, refusals
from zsprompt.cli.training_data import loader, on_training_split
from zsprompt.errors import UsageError

if TYPE_CHECKING:
    from zsprompt._utils.file_kinds import FileKind
    from zsprompt.adapters import Kind, Schedule
    from zsprompt.data import Dataset
    from zsprompt.experiments.few_shot import Repeat
    from zsprompt.experiments.spec import RunSpec
    from zsprompt.store import EmbeddingStore

TRAINING = "Training"
"""The panel of training's own options."""

_LEFT_OUT = {
    "captions": "a caption bank words label sets, which no adapter reads",
    "llm": "an LLM words label sets, which no adapter reads",
    "thresholds": "training makes no decisions",
    "difficult": "targets that are left out take no part in training",
}
_DEFAULTS = {
    "strategy": f"{DEFAULT_STRATEGY}, for self-training alone",
    "prompts": "photo",
    "split": "its training split",
    "model": f"the data set's own, else {DEFAULT_MODEL}",
}
_OLD = (
    Old("epochs", int, "--schedule epochs=N"),
    Old("batch_size_of_step", int, "--schedule batch_size=N", "--train-batch"),
    Old("lr", float, "--schedule lr=X"),
    Old("weight_decay", float, "--schedule weight_decay=X"),
    Old("optimizer", str, "--schedule optimizer=NAME"),
    Old("loss", str, "--schedule loss=NAME"),
    Old("warm_up", float, "--schedule warm_up=X"),
    Old("decay", str, "--schedule decay=NAME"),
    Old("patience", int, "--schedule patience=N"),
    Old("selective", float, "--schedule selective=X"),
    Old("clip_weight", float, "--schedule clip_weight=X"),
    Old("seed", int, "--schedule seed=K"),
)


@takes_run(leave_out=_LEFT_OUT, hidden=("sample", "skip_bad"), defaults=_DEFAULTS, old=_OLD)
def train(
    given: GivenRun,
    adapter: Annotated[str, option("KIND[,field=value…]; see `zsprompt list adapters`.")],
    out: Annotated[Path, option("Folder for the adapter, its history and its training curve.")],
    images: Annotated[
        list[Path] | None,
        argument("Unlabelled images for self-training, instead of --dataset.", "IMAGE|FOLDER|TAR|LIST"),
    ] = None,
    schedule: Annotated[
        str | None,
        option(
            "field=value,…: epochs, lr, batch_size, weight_decay, optimizer, loss, warm_up, decay, patience, "
            "selective, clip_weight, seed. [default: as in the adapter's source]",
            panel=TRAINING,
        ),
    ] = None,
    validation: Annotated[
        str | None,
        option(
            "Split or share of the images that chooses the best epoch; 0 for none. [default: 0.1 from 500 images on]",
            panel=TRAINING,
        ),
    ] = None,
    test: Annotated[str | None, option("Split to measure the trained adapter on.", panel=TRAINING)] = None,
    fraction: Annotated[
        list[float] | None,
        option("Train on this share of the images, 0..1. May be repeated.", panel=TRAINING, metavar="SHARE"),
    ] = None,
    seeds: Annotated[
        int,
        option("Train with this many seeds, and report mean and deviation.", panel=TRAINING, min=1, max=1000),
    ] = 1,
    resume: Annotated[bool, option("Continue the unfinished run in --out.", "--resume", panel=TRAINING)] = False,
    force: HiddenForce = False,
    json: Json = False,
) -> None:
    """Train an adapter on stored embeddings. `run --strategy adapter:DIR` then measures it like a prompt strategy."""
    with refusals(again="the same command with --resume continues from the last finished epoch"):
        from zsprompt._utils.outputs import check_folder
        from zsprompt.adapters import load_kind
        from zsprompt.adapters.kinds.self_training import SelfTrainingSpec
        from zsprompt.adapters.unused import refuse_unused
        from zsprompt.encoders.devices import require_device
        from zsprompt.experiments.inputs import inputs_of
        from zsprompt.prompts.odd_labels import label_warnings

        kind = load_kind(adapter)
        if resume and force:
            raise UsageError("expected --resume to continue, or --force to train anew, found both")
        if isinstance(kind, SelfTrainingSpec):
            given.use(SELF_TRAINING)
            self_train(kind, given, images or [], out, test=test, resume=resume, force=force, json=json)
            return
        given.use(TRAIN_ON_TARGETS)
        if images:
            raise UsageError(
                f"expected images with self-training alone, found {images[0]} with {adapter}; use --dataset"
            )
        several = bool(fraction) or seeds > 1
        spec, resources = on_training_split(given.spec()), given.resources()
        if several:
            given.use(TRAIN_SEVERAL)
        changed, settings = _schedule(kind, schedule, given)
        share = _share(validation)
        refuse_unused(
            kind,
            changed,
            [*settings, *_other_settings(spec, seeds)],
            draws=bool(share) or any(part < 1 for part in fraction or ()),
            validates=share != 0,
        )
        require_device(spec.device)
        load = loader(spec, resources)
        options: dict[str, Any] = {
            "validation": load(validation) if validation and share is None else share,
            "schedule": changed,
            "prompts": spec.prompts,
            "out": out,
            "skip_bad": spec.skip_bad,
            "device": spec.device,
            "progress": resources.progress,
            "force": force,
        }
        tested = load(test) if test else None
        data = load(None)  # refuses a missing --dataset
        for folder in _folders(out, fraction, seeds, changed.seed) if several else [out]:
            check_folder(folder, _files(bool(test) and several), inputs=inputs_of(spec, data), force=force)
        notes(label_warnings(data.labels, data.places))
        with resources.open_store(spec.model or data.model or DEFAULT_MODEL, spec.device, spec.precision) as store:
            if several:
                plan = {"fractions": fraction or [1.0], "seeds": seeds, "test": tested}
                _train_several(kind, data, store, plan | options, json)
            else:
                _train_one(kind, data, store, tested, options | {"resume": resume}, json)


def _other_settings(spec: RunSpec, seeds: int) -> list[str]:
    """Names of the given settings outside the schedule, for `refuse_unused`."""
    given = {"prompts": spec.prompts, "image captions": spec.image_captions, "seeds": seeds > 1}
    return [name for name, value in given.items() if value]


def _schedule(kind: Kind, text: str | None, given: GivenRun) -> tuple[Schedule, list[str]]:
    """The schedule of the training run, and the names of the fields that were given."""
    from zsprompt.adapters import Schedule

    names = {"batch_size_of_step": "batch_size"}
    old = {names.get(name, name): value for name, value in given.old.items()}
    changes = read_family(text, Schedule, "--schedule", old=old)
    return replace(kind.schedule, **changes), list(changes)


def _share(text: str | None) -> float | None:
    """The share of the images that --validation holds out; None without it, and for a split."""
    try:
        float(text or "")
    except ValueError:
        return None
    try:
        return finite(text or "")
    except ValueError:
        raise UsageError(f"expected a split or a share of the images for --validation, found {text!r}") from None


def _folders(out: Path, fractions: Sequence[float] | None, seeds: int, first: int) -> list[Path]:
    """The folders of several training runs."""
    from zsprompt.experiments.few_shot import repeat_folder

    return [repeat_folder(out, share, seed) for share in fractions or [1.0] for seed in range(first, first + seeds)]


def _files(tested: bool) -> dict[str, FileKind]:
    """The files in the folder of a training run, with a result if it is tested."""
    from zsprompt.evaluation.result_files import FILES as RESULT_FILES
    from zsprompt.report.of_training import FILES

    return {**FILES, **(RESULT_FILES if tested else {})}


def _train_one(
    kind: Kind, data: Dataset, store: EmbeddingStore, test: Dataset | None, options: dict[str, Any], json: bool
) -> None:
    from zsprompt.adapters.training import check_test
    from zsprompt.adapters.training import train as learn
    from zsprompt.report.of_training import save_training_curve

    out = options["out"]
    if test is not None:
        check_test(kind, data, test)
    course = learn(kind, data, store, **options)
    save_training_curve(course, out, force=options["force"])
    for line in course.notes:
        note(line)
    show_course(course, out, measured(course, test, store, options["device"]), json)


def _train_several(kind: Kind, data: Dataset, store: EmbeddingStore, options: dict[str, Any], json: bool) -> None:
    from zsprompt._utils.files import to_json
    from zsprompt.experiments.few_shot import repeat, repeat_folder
    from zsprompt.report.of_training import save_training_curve

    out = options["out"]
    runs = repeat(kind, data, store, **options)
    for one in runs:
        save_training_curve(one.course, repeat_folder(out, one.fraction, one.seed), force=options["force"])
    for line in _notes(runs):
        note(line)
    typer.echo(to_json({"repeats": _records(runs)}) if json else _repeats_table(runs))
    note(f"wrote the adapters to {out}")


def _notes(runs: Sequence[Repeat]) -> list[str]:
    """Notes of the training runs and warnings of their results, each once."""
    lines = (line for one in runs for line in (*one.course.notes, *(one.result.warnings if one.result else ())))
    return list(dict.fromkeys(lines))


def _records(runs: Sequence[Repeat]) -> list[dict[str, Any]]:
    return [
        {
            "fraction": one.fraction,
            "seed": one.seed,
            **one.course.to_dict(),
            "test_mAP": one.result.mAP if one.result else None,
        }
        for one in runs
    ]


def _repeats_table(runs: Sequence[Repeat]) -> str:
    from zsprompt.experiments.few_shot import repeats_frame
    from zsprompt.report.terminal import text_table

    header = ["fraction", "images", "seeds", "validation mAP", "test mAP"]
    rows = [
        [
            f"{row['fraction']:g}",
            f"{row['images']:,}",
            str(row["seeds"]),
            *(_spread(row[name], row[f"{name}_deviation"]) for name in ("validation_mAP", "test_mAP")),
        ]
        for row in repeats_frame(runs).to_dict("records")
    ]
    return text_table(header, rows, left=())


def _spread(mean: float, deviation: float) -> str:
    if isnan(mean):
        return "–"
    return f"{100 * mean:.1f}" + ("" if isnan(deviation) else f" ± {100 * deviation:.1f}")
