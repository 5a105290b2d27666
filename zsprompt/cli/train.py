"""The command line of training."""

from __future__ import annotations

from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zsprompt._utils.registry import DEFAULT_MODEL
from zsprompt.cli.options import (
    BatchSize,
    CacheFolder,
    Device,
    DeviceOption,
    Json,
    Labels,
    LabelsFile,
    Limit,
    Names,
    NamesOption,
    PictureCaptions,
    PrecisionChoice,
    PrecisionOption,
    Prompts,
    Root,
    RunModel,
    SkipBad,
    Without,
)
from zsprompt.cli.session import chosen_labels, note, open_store, refusals, with_captions_of
from zsprompt.errors import UsageError

if TYPE_CHECKING:
    from zsprompt.adapters import Kind, Schedule
    from zsprompt.adapters.training import Course
    from zsprompt.data import Dataset
    from zsprompt.experiments.few_shot import Repeat

_SOURCE = "[default: as in the adapter's source]"


def train(
    adapter: Annotated[str, typer.Option(help="KIND[,field=value…]; see `zsprompt list adapters`.")],
    dataset: Annotated[str, typer.Option(help="A data set; see `zsprompt list datasets`.")],
    out: Annotated[Path, typer.Option(help="Folder for the adapter, its history and a plot of its course.")],
    root: Root = None,
    split: Annotated[str | None, typer.Option(help="The list to learn from. [default: its training list]")] = None,
    validation: Annotated[
        str | None,
        typer.Option(
            help="A list, or a share of the pictures put aside, to choose the best epoch. [default: 0.1 from 500 on]"
        ),
    ] = None,
    test: Annotated[str | None, typer.Option(help="A list to measure the adapter on afterwards.")] = None,
    labels: Labels = None,
    labels_file: LabelsFile = None,
    without: Without = None,
    limit: Limit = None,
    fraction: Annotated[
        list[float] | None, typer.Option(help="Learn from this share of the pictures, 0..1. Repeat it for several.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Train with so many seeds, and give the deviation.")] = 1,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The first seed.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help=f"At most. {_SOURCE}")] = None,
    train_batch: Annotated[int | None, typer.Option(min=1, help=f"Pictures a step. {_SOURCE}")] = None,
    lr: Annotated[float | None, typer.Option(help=f"Learning rate. {_SOURCE}")] = None,
    weight_decay: Annotated[float | None, typer.Option(help=_SOURCE)] = None,
    optimizer: Annotated[str | None, typer.Option(help=f"adam or adamw. {_SOURCE}")] = None,
    loss: Annotated[str | None, typer.Option(help=f"mse, bce, asl, bce+clip or asl+clip. {_SOURCE}")] = None,
    warm_up: Annotated[float | None, typer.Option(help="Share of steps in which the rate rises, 0..1.")] = None,
    decay: Annotated[str | None, typer.Option(help="linear or none: how the rate falls.")] = None,
    patience: Annotated[int | None, typer.Option(min=1, help="Stop after so many epochs without a better one.")] = None,
    selective: Annotated[
        float | None, typer.Option(help="Selective supervision: so many random labels for each present one.")
    ] = None,
    clip_weight: Annotated[
        float | None, typer.Option(help="Of the contrastive loss beside the other. [default: 1]")
    ] = None,
    model: RunModel = None,
    prompts: Prompts = None,
    names: Names = NamesOption.readable,
    picture_captions: PictureCaptions = None,
    device: Device = DeviceOption.auto,
    precision: PrecisionChoice = PrecisionOption.auto,
    batch_size: BatchSize = None,
    skip_bad: SkipBad = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the unfinished training in --out.")] = False,
    cache: CacheFolder = None,
    json: Json = False,
) -> None:
    """Train an adapter on stored embeddings; `run --strategy adapter:DIR` then stands beside the prompts."""
    schedule_options: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": train_batch,
        "lr": lr,
        "weight_decay": weight_decay,
    }
    schedule_options |= {"optimizer": optimizer, "loss": loss, "warm_up": warm_up, "decay": decay}
    schedule_options |= {"patience": patience, "selective": selective, "clip_weight": clip_weight}
    with refusals(again="the same command with --resume goes on from the last whole epoch"):
        from zsprompt._utils.files import to_json
        from zsprompt._utils.progress import terminal
        from zsprompt.adapters import load_kind
        from zsprompt.data import TRAINING, load_dataset
        from zsprompt.report.of_training import save_training_curve

        kind = load_kind(adapter)
        schedule = _schedule(kind, seed, schedule_options)
        source = split or TRAINING.get(dataset)

        def load(which: str | None) -> Dataset:
            data = load_dataset(dataset, root=root, split=which, names=names.value)
            data = with_captions_of(data, picture_captions)
            return data.with_labels(chosen_labels(data.labels, labels, labels_file, without))

        data = load(source)
        data = data if limit is None else data.first(limit)
        judges = _validation(validation, load)
        tested = load(test) if test else None
        several = bool(fraction) or seeds > 1
        with open_store(model or data.model or DEFAULT_MODEL, device, precision, batch_size, cache) as store:
            options: dict[str, Any] = {"validation": judges, "schedule": schedule, "prompts": prompts, "out": out}
            options |= {"skip_bad": skip_bad, "device": device.value, "progress": terminal}
            if several:
                from zsprompt.experiments.few_shot import repeat, repeat_folder

                found = repeat(kind, data, store, fractions=fraction or [1.0], seeds=seeds, test=tested, **options)
                for one in found:
                    save_training_curve(one.course, repeat_folder(out, one.fraction, one.seed))
                for line in _said(found):
                    note(line)
                typer.echo(to_json({"repeats": _records(found)}) if json else _repeats_table(found))
                note(f"adapters in {out}")
                return
            from zsprompt.adapters.training import train as learn

            course = learn(kind, data, store, resume=resume, **options)
            save_training_curve(course, out)
            for line in course.notes:
                note(line)
            measured = _measured(course, tested, store, device.value)
            typer.echo(to_json(course.to_dict() | measured) if json else _summary(course, measured))
            note(f"adapter in {out}; use it with --strategy adapter:{out}")


def _schedule(kind: Kind, seed: int, options: dict[str, Any]) -> Schedule:
    given = {name: value for name, value in options.items() if value is not None}
    if given and not hasattr(kind, "network"):
        named = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"this adapter is fitted at once and has no epochs; leave out {named}")
    return replace(kind.schedule, seed=seed, **given)


def _validation(text: str | None, load: Any) -> Dataset | float | None:
    """What --validation stands for: a share if it reads as a number, else a list."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        found: Dataset = load(text)
        return found


def _measured(course: Course, test: Dataset | None, store: Any, device: str) -> dict[str, Any]:
    if test is None:
        return {}
    from zsprompt.evaluation.run import run
    from zsprompt.strategies import Adapter

    result = run(Adapter(course.trained, device=device), test, store)
    for warning in result.warnings:
        note(warning)
    low, high = result.mAP_interval
    return {"test": {"split": test.split, "mAP": result.mAP, "mAP_interval": [low, high], "micro_f1": result.f1.micro}}


def _summary(course: Course, measured: dict[str, Any]) -> str:
    facts = course.trained.facts
    data, reached = facts["data"], facts["metrics"]["validation_mAP"]
    lines = [f"{facts['recipe']['adapter']}: {data['images']:,} pictures of {data['dataset']} {data['split']}"]
    lines[0] += f", {len(course.trained.labels)} labels, model {course.trained.model}"
    if course.best:
        lines.append(
            f"epoch {course.best} of {len(course.history)} kept, loss {course.history[course.best - 1].loss:.4g}"
        )
    if reached is not None:
        lines.append(f"validation mAP  {100 * reached:.1f}   on {data['validation_images']:,} pictures, which chose it")
    if test := measured.get("test"):
        low, high = (100 * value for value in test["mAP_interval"])
        lines.append(
            f"test mAP        {100 * test['mAP']:.1f}   95 % interval {low:.1f} to {high:.1f}, {test['split']}"
        )
    return "\n".join(lines)


def _said(found: list[Repeat]) -> list[str]:
    """What must be known of the trainings and of their results, each once."""
    told = (line for one in found for line in (*one.course.notes, *(one.result.warnings if one.result else ())))
    return list(dict.fromkeys(told))


def _records(found: list[Repeat]) -> list[dict[str, Any]]:
    return [
        {
            "fraction": one.fraction,
            "seed": one.seed,
            **one.course.to_dict(),
            "test_mAP": one.result.mAP if one.result else None,
        }
        for one in found
    ]


def _repeats_table(found: list[Repeat]) -> str:
    from zsprompt.experiments.few_shot import repeats_frame

    lines = ["fraction  pictures  seeds  validation mAP        test mAP"]
    for row in repeats_frame(found).to_dict("records"):
        cells = [_spread(row[name], row[f"{name}_deviation"]) for name in ("validation_mAP", "test_mAP")]
        lines.append(f"{row['fraction']:8g}  {row['pictures']:8,}  {row['seeds']:5}  {cells[0]:>14}  {cells[1]:>14}")
    return "\n".join(lines)


def _spread(mean: float, deviation: float) -> str:
    if isnan(mean):
        return "–"
    return f"{100 * mean:.1f}" + ("" if isnan(deviation) else f" ± {100 * deviation:.1f}")
