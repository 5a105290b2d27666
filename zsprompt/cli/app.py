"""The command line: reads options, calls the API, prints.

Heavy modules are imported inside the commands, so that --help answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zsprompt._utils.registry import DEFAULT_MODEL
from zsprompt._version import __version__
from zsprompt.cli.data import data_app
from zsprompt.cli.llm import caption, describe, rewrite
from zsprompt.cli.measure import ablate, report_, thresholds_
from zsprompt.cli.options import (
    BatchSize,
    CacheFolder,
    CaptionBank,
    Device,
    DeviceOption,
    Difficult,
    DifficultOption,
    Json,
    Labels,
    LabelsFile,
    Limit,
    ListKind,
    LlmBaseUrl,
    LlmModel,
    LlmTimeout,
    MaxCalls,
    MaxTokens,
    Model,
    Names,
    NamesOption,
    Offline,
    PictureCaptions,
    Pictures,
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
    ThresholdsFile,
    Without,
)
from zsprompt.cli.reproduce import reproduce
from zsprompt.cli.session import (
    CaptionSource,
    can_print,
    check_part,
    chosen_labels,
    drop_output,
    note,
    open_store,
    read_labels,
    refusals,
    take_part,
    with_captions_of,
)
from zsprompt.cli.train import train
from zsprompt.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zsprompt._utils.byte_cache import ByteCache
    from zsprompt.evaluation.predict import Predictions, Totals
    from zsprompt.strategies import Strategy

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,  # it would take [default: …] and [normalised:] for markup and drop them
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find several labels in a photo with a frozen CLIP and text alone, and measure how well that works.",
)
cache_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Look after the folder that stored embeddings are kept in."
)
app.add_typer(cache_app, name="cache")
app.add_typer(data_app, name="data")
app.command("ablate")(ablate)
app.command("thresholds")(thresholds_)
app.command("report")(report_)
app.command("reproduce")(reproduce)
app.command("caption")(caption)
app.command("train")(train)
app.command("rewrite")(rewrite)
app.command("describe")(describe)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if show_version:
        typer.echo(f"zsprompt {__version__}")
        raise typer.Exit


@app.command()
def run(
    strategy: Strategies,
    dataset: Annotated[str, typer.Option(help="A data set; see `zsprompt list datasets`.")],
    root: Root = None,
    split: Split = None,
    model: RunModel = None,
    prompts: Prompts = None,
    labels: Labels = None,
    labels_file: LabelsFile = None,
    without: Without = None,
    picture_captions: PictureCaptions = None,
    captions: CaptionBank = None,
    llm_model: LlmModel = None,
    llm_base_url: LlmBaseUrl = None,
    llm_timeout: LlmTimeout = None,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    offline: Offline = False,
    names: Names = NamesOption.readable,
    device: Device = DeviceOption.auto,
    precision: PrecisionChoice = PrecisionOption.auto,
    limit: Limit = None,
    sample: Sample = None,
    seed: Seed = None,
    batch_size: BatchSize = None,
    difficult: Difficult = DifficultOption.ignore,
    eleven_point: Annotated[bool, typer.Option("--eleven-point", help="Also VOC's interpolated mAPs.")] = False,
    skip_bad: SkipBad = False,
    thresholds: ThresholdsFile = None,
    cache: CacheFolder = None,
    out: Annotated[Path | None, typer.Option(help="Folder for result.json, scores.csv and per_class.csv.")] = None,
    json: Json = False,
) -> None:
    """Measure a strategy on a data set: mAP, F1, and chance."""
    with refusals():
        from zsprompt import report
        from zsprompt._utils.files import require_folder, to_json
        from zsprompt.data import load_dataset
        from zsprompt.evaluation import run as evaluate
        from zsprompt.evaluation.result_files import save_result
        from zsprompt.evaluation.thresholds import with_thresholds
        from zsprompt.strategies import load_strategy, on_device
        from zsprompt.strategies.thresholds import load_thresholds

        check_part(limit, sample, seed)
        cuts = load_thresholds(thresholds) if thresholds else None
        chosen = on_device(load_strategy(strategy, prompts=prompts), device.value)
        data = load_dataset(dataset, root=root, split=split, names=names.value)
        data = with_captions_of(take_part(data, limit, sample, seed), picture_captions)
        data = data.with_labels(chosen_labels(data.labels, labels, labels_file, without))
        wanted = CaptionSource(captions, data.bank, llm_model, llm_base_url, llm_timeout, offline, cache)
        chosen = wanted.give(chosen, max_calls, max_tokens)
        if out:
            require_folder(out)
        with open_store(model or data.model or DEFAULT_MODEL, device, precision, batch_size, cache) as store:
            chosen = with_thresholds(chosen, cuts, store, data) if cuts else chosen
            result = evaluate.run(chosen, data, store, difficult=difficult.value, skip_bad=skip_bad)
        if out:
            save_result(result, out)
        shown = report.result_table(result, blocks=can_print("█"), interpolated=eleven_point)
        typer.echo(to_json(result.to_dict()) if json else shown)
        for warning in result.warnings:
            note(warning)
        for image, reason in result.skipped:
            note(f"left out {report.printable(image)}: {reason}")


@app.command()
def predict(
    images: Pictures,
    labels: Labels = None,
    labels_file: LabelsFile = None,
    strategy: Strategies = "normalised:per-label",
    model: Model = DEFAULT_MODEL,
    prompts: Prompts = None,
    captions: CaptionBank = None,
    llm_model: LlmModel = None,
    llm_base_url: LlmBaseUrl = None,
    llm_timeout: LlmTimeout = None,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    offline: Offline = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="A label is present above this many standard deviations over the mean of the picture's scores; "
            "2 unless given. For per-label and normalised: strategies."
        ),
    ] = None,
    thresholds: ThresholdsFile = None,
    device: Device = DeviceOption.auto,
    precision: PrecisionChoice = PrecisionOption.auto,
    batch_size: BatchSize = None,
    cache: CacheFolder = None,
    out: Annotated[Path | None, typer.Option(help="CSV file for the decisions and all scores.")] = None,
    json: Json = False,
) -> None:
    """Say which of your labels are on your pictures."""
    with refusals():
        from zsprompt._utils.files import require_writable
        from zsprompt.evaluation.predict import Totals, predict_in_parts
        from zsprompt.evaluation.provenance import describe, made_up, undescribed
        from zsprompt.evaluation.thresholds import with_thresholds
        from zsprompt.strategies import load_strategy, on_device, own_labels
        from zsprompt.strategies.thresholds import load_thresholds

        cuts = load_thresholds(thresholds) if thresholds else None
        if cuts and threshold is not None:
            raise UsageError("expected --threshold or --thresholds, found both")
        chosen = on_device(load_strategy(strategy, prompts=prompts), device.value)
        chosen = _with_threshold(chosen, threshold, strategy)
        asked = labels is not None or labels_file is not None
        known = cuts.labels if cuts else own_labels(chosen)
        words = read_labels(labels, labels_file) if asked or known is None else list(known)
        chosen = CaptionSource(captions, None, llm_model, llm_base_url, llm_timeout, offline, cache).give(
            chosen, max_calls, max_tokens
        )
        if out:
            require_writable(out)
        totals = Totals()
        with open_store(model, device, precision, batch_size, cache) as store:
            chosen = with_thresholds(chosen, cuts, store) if cuts else chosen
            recipe = describe(chosen, store)
            parts = totals.watch(predict_in_parts(images, words, store, strategy=chosen))
            _show_predictions(parts, words, recipe, out, json)
        _say_totals(totals, words, recipe, out)
        for warning in (*undescribed(chosen, words), *made_up(totals.worded)):
            note(warning)
        if totals.bad:
            raise typer.Exit(1)


@app.command("list")
def list_(kind: Annotated[ListKind, typer.Argument(help="What to list.")]) -> None:
    """Name the strategies, data sets, prompt sets, models or adapters there are."""
    with refusals():
        from zsprompt.adapters import available_adapters
        from zsprompt.data import available_datasets
        from zsprompt.encoders import available_models
        from zsprompt.prompts import available_prompts, load_prompts
        from zsprompt.strategies import available_strategies

        tables: dict[ListKind, Any] = {
            ListKind.strategies: available_strategies,
            ListKind.datasets: available_datasets,
            ListKind.models: available_models,
            ListKind.adapters: available_adapters,
            ListKind.prompts: lambda: {name: load_prompts(name).about for name in available_prompts()},
        }
        entries = tables[kind]()
        width = max(map(len, entries))
        for name, about in entries.items():
            typer.echo(f"{name:{width}}  {about}")


@cache_app.command("info")
def cache_info(cache: CacheFolder = None, json: Json = False) -> None:
    """Say where the cache is, how many entries it has and how large it is."""
    with refusals():
        from zsprompt._utils.files import to_json

        opened = _open_cache(cache)
        info = opened.info()
        opened.close()
        if json:
            typer.echo(to_json({"folder": str(info.folder), "entries": info.entries, "bytes": info.bytes}))
        else:
            typer.echo(f"{info.folder}: {info.entries:,} entries, {info.bytes / 1e6:,.1f} MB")


@cache_app.command("verify")
def cache_verify(cache: CacheFolder = None) -> None:
    """Check every entry against its checksum and delete the damaged ones."""
    with refusals():
        opened = _open_cache(cache)
        read, deleted = opened.verify()
        opened.close()
        typer.echo(f"{read:,} entries checked, {deleted:,} damaged and deleted")


@cache_app.command("clear")
def cache_clear(
    cache: CacheFolder = None, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False
) -> None:
    """Delete all stored embeddings."""
    with refusals():
        from zsprompt._utils.byte_cache import clear_cache, default_cache

        folder = cache or default_cache()
        if not yes and not (sys.stdin.isatty() and typer.confirm(f"Delete all stored embeddings in {folder}?")):
            raise UsageError(f"nothing deleted in {folder}; to delete without being asked, add --yes")
        typer.echo(f"{folder}: freed {clear_cache(folder) / 1e6:,.1f} MB")


def main() -> None:
    """Entry point of the `zsprompt` command."""
    if sys.stdout is None:
        note("error: expected somewhere to print to, found standard output closed; give it a file or /dev/null")
        raise SystemExit(1)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that is not UTF-8 must not end a long job
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except OSError as error:  # --help into a full disk; the commands catch their own
        note(f"error: cannot print the result ({error.strerror or error})")
        drop_output()
        raise SystemExit(1) from None


def _open_cache(cache: Path | None) -> ByteCache:
    from zsprompt._utils.byte_cache import default_cache, open_existing

    return open_existing(cache or default_cache())


def _with_threshold(strategy: Strategy, threshold: float | None, name: str) -> Strategy:
    import dataclasses

    if threshold is None:
        return strategy
    known: list[str] = (
        [part.name for part in dataclasses.fields(strategy)] if dataclasses.is_dataclass(strategy) else []
    )
    if "threshold" not in known:
        raise UsageError(f"strategy {name} decides without a threshold; use --threshold with normalised:{name}")
    if ",threshold=" in name.replace(" ", ""):
        raise UsageError(f"expected one threshold, found --threshold {threshold:g} and another in {name!r}")
    changed: Strategy = dataclasses.replace(strategy, threshold=threshold)  # type: ignore[type-var]
    return changed


def _show_predictions(
    parts: Iterable[Predictions], words: list[str], recipe: dict[str, Any], out: Path | None, json: bool
) -> None:
    from zsprompt import report
    from zsprompt._utils.files import to_json
    from zsprompt.evaluation.predict import joined
    from zsprompt.evaluation.result_files import save_predictions

    if json:
        answer = joined(parts)
        parts = [answer]
    if out:
        save_predictions(parts, words, out)
    if json:
        typer.echo(to_json(report.predictions_dict(answer, recipe)))
    elif not out:
        for part in parts:
            for line in report.predictions_table(part):
                typer.echo(line)


def _say_totals(totals: Totals, words: list[str], recipe: dict[str, Any], out: Path | None) -> None:
    from zsprompt._utils.text import counted
    from zsprompt.evaluation.provenance import never_seen
    from zsprompt.report import printable

    for image, reason in totals.bad:
        note(f"cannot read {printable(image)}: {reason}")
    if totals.passed_over:
        note(f"passed over {counted(totals.passed_over, 'other file')}")
    if totals.overflowed:
        note(f"left out {counted(totals.overflowed, 'candidate')} whose text does not fit the model")
    for warning in never_seen(recipe["model"], tuple(totals.unfamiliar)):
        note(warning)
    done = f"{counted(totals.pictures, 'picture')}, {counted(len(words), 'label')}, model {recipe['model']}"
    note(f"{done}; scores in {out}" if out else done)
    if totals.bad:
        total = counted(totals.pictures + len(totals.bad), "picture")
        note(f"error: expected {total} that can be read, {len(totals.bad):,} cannot; mend or remove them")
