"""The command line of more than one run: ablation tables, thresholds, reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zsprompt._utils.registry import DEFAULT_MODEL
from zsprompt._utils.text import counted
from zsprompt.cli.options import (
    BatchSize,
    CacheFolder,
    CalibrationOption,
    CaptionBank,
    Device,
    DeviceOption,
    Difficult,
    DifficultOption,
    Json,
    Labels,
    LabelsFile,
    Limit,
    Names,
    NamesOption,
    PrecisionChoice,
    PrecisionOption,
    Prompts,
    Root,
    RunModel,
    Sample,
    Seed,
    SkipBad,
    Split,
    Strategies,
    ThresholdKind,
)
from zsprompt.cli.session import (
    CaptionSource,
    can_print,
    check_part,
    note,
    open_store,
    read_labels,
    refusals,
    take_part,
)
from zsprompt.errors import UsageError

if TYPE_CHECKING:
    from zsprompt.data import Dataset
    from zsprompt.encoders import Encoder
    from zsprompt.evaluation.choose_thresholds import Rule
    from zsprompt.experiments.ablation import Row
    from zsprompt.metrics import Difficult as Difficulty
    from zsprompt.store import EmbeddingStore
    from zsprompt.strategies import Strategy
    from zsprompt.strategies.calibration import Method
    from zsprompt.strategies.thresholds import Thresholds

_EXPECTED = 1.5
"""Labels a picture that thresholds without targets expect unless told; VOC2007's photographs have 1.4."""

Several = "Repeat it for several."


def ablate(
    out: Annotated[Path, typer.Option(help="Folder for the table and a result folder a row.")],
    strategy: Annotated[list[str] | None, typer.Option(help=f"As for run. {Several}")] = None,
    prompts: Annotated[list[str] | None, typer.Option(help=f"As for run. {Several}")] = None,
    model: Annotated[list[str] | None, typer.Option(help=f"As for run. {Several}")] = None,
    dataset: Annotated[list[str] | None, typer.Option(help=f"As for run. {Several}")] = None,
    names: Annotated[list[NamesOption] | None, typer.Option(help=f"Kind of label names. {Several}")] = None,
    difficult: Annotated[list[DifficultOption] | None, typer.Option(help=f"As for run. {Several}")] = None,
    captions: Annotated[list[str] | None, typer.Option(help=f"Caption banks for llm. {Several}")] = None,
    plan: Annotated[Path | None, typer.Option(help="A TOML file with the rows, instead of the options above.")] = None,
    root: Root = None,
    split: Split = None,
    limit: Limit = None,
    sample: Sample = None,
    seed: Seed = None,
    device: Device = DeviceOption.auto,
    precision: PrecisionChoice = PrecisionOption.auto,
    batch_size: BatchSize = None,
    skip_bad: SkipBad = False,
    cache: CacheFolder = None,
    json: Json = False,
) -> None:
    """Measure every combination once, and say which differences are real; go on where a stopped one ended."""
    axes: dict[str, list[Any] | None] = {"dataset": dataset, "model": model, "strategy": strategy, "prompts": prompts}
    axes |= {"captions": captions, "names": _values(names), "difficult": _values(difficult)}
    with refusals():
        from zsprompt._utils.files import to_json
        from zsprompt.experiments.ablation import ablate as measure
        from zsprompt.report.tables import save_ablation, terminal_table

        check_part(limit, sample, seed)
        part = {"split": split, "limit": limit, "sample": sample, "seed": seed}
        rows = _rows(plan, axes, root, {name: value for name, value in part.items() if value is not None})

        def store_of(named: str | Encoder) -> EmbeddingStore:
            return open_store(str(named), device, precision, batch_size, cache)

        done = measure(rows, out, open_store=store_of, skip_bad=skip_bad)
        save_ablation(done, out)
        records = done.records()
        typer.echo(to_json({"rows": records}) if json else terminal_table(records))
        note(f"table in {out}; `zsprompt report {out}` makes a page of it")
        failed = [record["row"] for record in records if record["error"]]
        if failed:
            many = counted(len(rows), "row")
            note(f"error: expected {many}, {len(failed)} failed: {', '.join(map(str, failed))}; see above why")
            raise typer.Exit(1)


def thresholds_(
    out: Annotated[Path, typer.Option(help="The JSON file to write, for --thresholds.")],
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[IMAGE|FOLDER...]", help="Unlabelled pictures, instead of --dataset."),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="A labelled data set to choose by.")] = None,
    root: Root = None,
    split: Split = None,
    limit: Limit = None,
    sample: Sample = None,
    seed: Seed = None,
    names: Names = NamesOption.readable,
    difficult: Difficult = DifficultOption.ignore,
    skip_bad: SkipBad = False,
    strategy: Strategies = "normalised:per-label",
    model: RunModel = None,
    prompts: Prompts = None,
    captions: CaptionBank = None,
    kind: Annotated[
        ThresholdKind, typer.Option(help="One threshold for each label, or one for all.")
    ] = ThresholdKind.per_label,
    wanted: Annotated[
        float | None, typer.Option("--wanted-precision", help="Reach this precision, 0..1, instead of the best F1.")
    ] = None,
    calibrate: Annotated[CalibrationOption | None, typer.Option(help="Also turn scores into probabilities.")] = None,
    folds: Annotated[int, typer.Option(min=2, help="Parts of the pictures, each judged by the others.")] = 5,
    folds_seed: Annotated[int, typer.Option(help="Which parts.")] = 0,
    labels: Labels = None,
    labels_file: LabelsFile = None,
    expect: Annotated[
        float | None,
        typer.Option(help=f"Without labels: as many labels a picture on average. [default: {_EXPECTED}, a guess]"),
    ] = None,
    share: Annotated[float | None, typer.Option(help="Without labels: each label on this share of pictures.")] = None,
    device: Device = DeviceOption.auto,
    precision: PrecisionChoice = PrecisionOption.auto,
    batch_size: BatchSize = None,
    cache: CacheFolder = None,
    json: Json = False,
) -> None:
    """Choose when a score counts as yes: by a labelled data set, or by how many yeses you expect on your pictures."""
    with refusals():
        from zsprompt._utils.files import require_writable
        from zsprompt.data import load_dataset
        from zsprompt.evaluation.choose_thresholds import Rule
        from zsprompt.strategies import load_strategy, on_device
        from zsprompt.strategies.thresholds import save_thresholds

        if (dataset is None) == (not images):
            raise UsageError("expected either --dataset with labels, or pictures and --labels, found neither or both")
        require_writable(out)
        chosen = on_device(load_strategy(strategy, prompts=prompts), device.value)
        data = load_dataset(dataset, root=root, split=split, names=names.value) if dataset else None
        data = take_part(data, limit, sample, seed) if data else None
        words = [] if data else read_labels(labels, labels_file)
        own = data.bank if data else None
        chosen = CaptionSource(captions, own, None, None, None, offline=True, cache=cache).give(chosen)
        with open_store(model or (data and data.model) or DEFAULT_MODEL, device, precision, batch_size, cache) as store:
            if data:
                method: Method | None = calibrate.value if calibrate else None
                judged = _Judged(difficult.value, skip_bad, Rule(kind.value, wanted), method, folds, folds_seed)
                found = judged.thresholds(chosen, data, store)
            else:
                found = _expected_thresholds(chosen, images or [], words, store, expect, share)
        save_thresholds(found, out)
        _show_thresholds(found, out, json)


@dataclass(frozen=True)
class _Judged:
    """How thresholds are chosen by targets."""

    difficult: Difficulty
    skip_bad: bool
    rule: Rule
    calibrate: Method | None
    folds: int
    seed: int

    def thresholds(self, strategy: Strategy, data: Dataset, store: EmbeddingStore) -> Thresholds:
        from zsprompt.evaluation.provenance import learnt_from
        from zsprompt.evaluation.run import run
        from zsprompt.evaluation.thresholds import choose_thresholds

        result = run(strategy, data, store, difficult=self.difficult, skip_bad=self.skip_bad)
        for warning in learnt_from(strategy, data.name, result.images):
            note(warning)
        return choose_thresholds(result, rule=self.rule, calibrate=self.calibrate, folds=self.folds, seed=self.seed)


def _expected_thresholds(
    strategy: Strategy,
    images: Sequence[Path],
    words: Sequence[str],
    store: EmbeddingStore,
    expect: float | None,
    share: float | None,
) -> Thresholds:
    from zsprompt.evaluation.predict import predict
    from zsprompt.evaluation.provenance import describe
    from zsprompt.evaluation.thresholds import expected_thresholds

    answer = predict(images, words, store, strategy=strategy)
    expected = min(_EXPECTED, len(words) / 2) if expect is None and share is None else expect
    return expected_thresholds(answer, describe(strategy, store), labels_a_picture=expected, share=share)


def report_(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR [DIR]", help="What run or ablate wrote with --out.")],
    out: Annotated[
        Path | None, typer.Option(help="The page to write. [default: report.html in DIR, against-A.html in the second]")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Where the pictures lie now, if they have been moved.")] = None,
    json: Json = False,
) -> None:
    """Make one page of a run, of an ablation, or of what changed between two runs."""
    with refusals():
        from zsprompt._utils.files import to_json
        from zsprompt._utils.progress import terminal
        from zsprompt.report.build import build_report

        if len(folders) > 2:
            raise UsageError(f"expected one folder or two, found {len(folders)}; for more rows see zsprompt ablate")
        built = build_report(folders, out, root, progress=terminal)
        for warning in built.warnings:
            note(warning)
        typer.echo(to_json(dict(built.facts)) if json else built.text)
        note(f"page in {built.page}, figures in {built.figures}")


def _values(choices: Sequence[Enum] | None) -> list[Any] | None:
    return [choice.value for choice in choices] if choices else None


def _rows(plan: Path | None, axes: dict[str, list[Any] | None], root: Path | None, part: dict[str, Any]) -> list[Row]:
    from zsprompt.data import takes_root
    from zsprompt.experiments.ablation import grid, read_plan

    given = {name: values for name, values in axes.items() if values}
    if plan:
        if given or root or part:
            raise UsageError("expected the rows in --plan alone, found options that name rows too")
        return read_plan(plan)
    for name in ("strategy", "dataset"):
        if name not in given:
            raise UsageError(f"expected --{name} once or more, or --plan FILE, found neither")
    rows: list[Row] = []
    for name in given.pop("dataset"):
        own = str(root) if root and takes_root(name) else None
        rows += grid(dataset=name, **given, root=own, **part)
    return rows


def _show_thresholds(found: Thresholds, out: Path, json: bool) -> None:
    from zsprompt._utils.files import to_json
    from zsprompt.report.terminal import thresholds_table
    from zsprompt.strategies.thresholds import thresholds_dict

    if json:
        typer.echo(to_json(thresholds_dict(found)))
    else:
        typer.echo(thresholds_table(found, blocks=can_print("█")))
    note(f"thresholds in {out}; use them with --thresholds {out}")
    if not found.tuned:
        note("chosen by how many yeses you expect, not by what is right: nothing here says how good they are")
