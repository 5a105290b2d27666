"""zsprompt predict."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zsprompt._utils.registry import DEFAULT_MODEL, DEFAULT_STRATEGY
from zsprompt.cli.given_run import GivenRun, takes_run
from zsprompt.cli.modes import PREDICT_WITHOUT_FILES
from zsprompt.cli.options import DECISIONS, Force, Images, Json, option
from zsprompt.cli.session import note, notes, refusals
from zsprompt.errors import UsageError

if TYPE_CHECKING:
    from zsprompt.data.inputs import Sources
    from zsprompt.evaluation.predict import Predictions, Totals
    from zsprompt.experiments.spec import RunSpec
    from zsprompt.report.annotated import AnnotatedFolder
    from zsprompt.strategies import Strategy

_NO_DATA_SET = "images are given as paths and have no targets"
_DECIDES = ("threshold", "cut")  # fields that decide
_LEFT_OUT = ("dataset", "root", "split", "names", "difficult", "without", "limit", "sample", "seed", "skip_bad")


@takes_run(
    leave_out=dict.fromkeys(_LEFT_OUT, _NO_DATA_SET),
    defaults={"strategy": DEFAULT_STRATEGY, "model": f"the adapter's, else {DEFAULT_MODEL}", "captions": ""},
)
def predict(
    given: GivenRun,
    images: Images,
    threshold: Annotated[
        float | None,
        option(
            "Score from which a label counts as present: a posterior for softmax: (0.05 by default), standard "
            "deviations above the image's mean for per-label, normalised: and others (2), the output of an adapter.",
            "--threshold",
            panel=DECISIONS,
        ),
    ] = None,
    out: Annotated[Path | None, option("CSV file for decisions and scores.")] = None,
    show: Annotated[
        Path | None,
        option(
            "Folder for a copy of each image with its labels and their scores, and outlines of the windows that they "
            "come from."
        ),
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Find which of your labels are in each image."""
    with refusals():
        from zsprompt.data.inputs import find_sources
        from zsprompt.evaluation.predict import Totals, predict_in_parts
        from zsprompt.evaluation.provenance import describe, made_up, often_missed, undescribed
        from zsprompt.report.annotated import AnnotatedFolder
        from zsprompt.strategies import refuse_images

        spec, resources = given.spec(), given.resources()
        if spec.thresholds is not None and threshold is not None:
            raise UsageError("expected --threshold or --thresholds, found both")
        if out is None and show is None:
            given.use(PREDICT_WITHOUT_FILES)
        resolved = spec.resolve(resources)
        resolved = dataclasses.replace(
            resolved, strategy=_with_threshold(resolved.strategy, threshold, str(spec.strategy))
        )
        resolved.check(resources)
        labels, sources = resolved.labels, find_sources(images)
        refuse_images(resolved.strategy, sources.count)
        annotated = AnnotatedFolder(show, sources.count, force, resources.progress) if show else None
        _check_outputs(out, annotated, spec, images, sources, force)
        totals = Totals()
        with resources.open_store(resolved.model, spec.device, spec.precision) as store:
            prepared = resolved.prepared(store)
            strategy = prepared.strategy
            missed = often_missed(store.encoder.name, store.encoder.often_missed(labels))
            warnings = (*prepared.domain_warnings, *resolved.label_warnings, *undescribed(strategy, labels), *missed)
            recipe = describe(strategy, store, labels)
            captions = resolved.image_captions
            parts = totals.watch(predict_in_parts(sources, labels, store, strategy=strategy, captions=captions))
            _print(annotated.watch(parts) if annotated else parts, labels, recipe, warnings, out, json, force)
        _say_totals(totals, labels, recipe, out, show)
        notes((*warnings, *made_up(totals.worded)))
        if totals.bad or (annotated and annotated.bad):
            raise typer.Exit(1)


def _check_outputs(
    out: Path | None,
    annotated: AnnotatedFolder | None,
    spec: RunSpec,
    images: Sequence[Path],
    sources: Sources,
    force: bool,
) -> None:
    """Refuse outputs before the work begins."""
    from zsprompt._utils.file_kinds import PREDICTIONS
    from zsprompt._utils.outputs import check_output
    from zsprompt.data.inputs import reads_sources
    from zsprompt.experiments.inputs import inputs_of
    from zsprompt.report.annotated import INDEX

    inputs = [reads_sources(images), *inputs_of(spec)]
    if out and annotated and out.resolve() in (annotated.folder.resolve(), (annotated.folder / INDEX).resolve()):
        raise UsageError(f"expected --out and --show to name different places, found {out} and {annotated.folder}")
    if out:
        check_output(out, PREDICTIONS, inputs=inputs, force=force)
    if annotated:
        annotated.check(sources, [path for path in images if path.is_dir()], inputs)


def _with_threshold(strategy: Strategy, threshold: float | None, name: str) -> Strategy:
    """The strategy with another threshold of its decisions, or cut. Raises UsageError for one without."""
    if threshold is None:
        return strategy
    fields: list[str] = (
        [part.name for part in dataclasses.fields(strategy)] if dataclasses.is_dataclass(strategy) else []
    )
    decides = next((name for name in fields if name in _DECIDES), None)
    if decides is None:
        raise UsageError(
            f"this run does not use --threshold: strategy {name} decides without a threshold; leave it out, or use "
            f"normalised:{name}"
        )
    settings = [setting.partition("=")[0].strip() for setting in name.split(",")[1:]]
    if {decides, f"{name.partition(':')[0]}.{decides}"} & set(settings):
        raise UsageError(f"expected one {decides}, found --threshold {threshold:g} and another in {name!r}")
    changed: Strategy = dataclasses.replace(strategy, **{decides: threshold})  # type: ignore[type-var]
    return changed


def _print(
    parts: Iterable[Predictions],
    labels: Sequence[str],
    recipe: dict[str, Any],
    warnings: Sequence[str],
    out: Path | None,
    json: bool,
    force: bool,
) -> None:
    from zsprompt import report
    from zsprompt._utils.files import to_json
    from zsprompt.evaluation.predict import joined
    from zsprompt.evaluation.result_files import save_predictions

    if json:
        answer = joined(parts)
        parts = [answer]
    if out:
        save_predictions(parts, labels, out, force=force)
    if json:
        typer.echo(to_json(report.predictions_dict(answer, recipe, warnings)))
    elif not out:
        for part in parts:
            for line in report.predictions_table(part):
                typer.echo(line)


def _say_totals(
    totals: Totals, labels: Sequence[str], recipe: dict[str, Any], out: Path | None, show: Path | None
) -> None:
    from zsprompt._utils.text import counted
    from zsprompt.evaluation.provenance import never_seen
    from zsprompt.evaluation.reference_words import comparison_text, many_labels
    from zsprompt.report import printable

    for image, reason in totals.bad:
        note(f"cannot read {printable(image)}: {reason}")
    for remark in totals.remarks.found():
        note(printable(remark.sentence))
    if totals.overflowed:
        note(f"left out {counted(totals.overflowed, 'candidate')} whose text does not fit the model")
    for warning in never_seen(recipe["model"], tuple(totals.unfamiliar)):
        note(warning)
    done = f"{counted(totals.images, 'image')}, {counted(len(labels), 'label')}, model {recipe['model']}"
    places = [f"{what} in {path}" for what, path in (("scores", out), ("annotated images", show)) if path]
    note("; ".join([done, *places]))
    for text in comparison_text(recipe, len(labels)):
        note(text)
    for warning in many_labels(recipe, len(labels), totals.images, totals.present):
        note(warning)
    if totals.bad:
        total = counted(totals.images + len(totals.bad), "image")
        note(f"error: expected {total} that can be read, {len(totals.bad):,} cannot; fix or remove them")
