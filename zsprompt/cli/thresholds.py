"""zsprompt thresholds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from zsprompt._utils.registry import DEFAULT_STRATEGY
from zsprompt._utils.text import quoted
from zsprompt.cli.given_run import GivenRun, Old, read_family, takes_run
from zsprompt.cli.modes import THRESHOLDS_BY_EXPECTATION, THRESHOLDS_BY_TARGETS
from zsprompt.cli.options import DECISIONS, HiddenForce, Json, argument, option
from zsprompt.cli.session import can_print, note, notes, refusals
from zsprompt.errors import UsageError

if TYPE_CHECKING:
    from zsprompt.data.inputs import Sources
    from zsprompt.evaluation.threshold_rules import Rule
    from zsprompt.experiments.spec import Prepared
    from zsprompt.strategies import Thresholds

_EXPECTED = 1.5
"""Default number of labels per image where there are no targets; VOC2007's photographs have 1.4."""


@dataclass(frozen=True)
class _Rule:
    """The fields of --rule."""

    kind: Literal["per-label", "global"] = "per-label"
    precision: float | None = None
    calibrate: Literal["platt", "isotonic"] | None = None
    folds: int = 5
    seed: int = 0

    def choice(self) -> Rule:
        """How thresholds are chosen. Raises UsageError for a precision out of range."""
        from zsprompt.evaluation.threshold_rules import Rule

        return Rule(self.kind, self.precision)


@dataclass(frozen=True)
class _Expectation:
    """The fields of --expect."""

    labels: float | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        if self.labels is not None and self.share is not None:
            raise UsageError("expected either labels per image or share for --expect, found both")


_OLD = (
    Old("kind", str, "--rule KIND"),
    Old("precision_wanted", float, "--rule KIND,precision=P", "--wanted-precision"),
    Old("calibrate", str, "--rule KIND,calibrate=METHOD"),
    Old("folds", int, "--rule KIND,folds=K"),
    Old("folds_seed", int, "--rule KIND,seed=K"),
    Old("share", float, "--expect share=S"),
)
_FIELDS = {"precision_wanted": "precision", "folds_seed": "seed"}


@takes_run(
    leave_out={"thresholds": "the command chooses them"},
    defaults={"strategy": DEFAULT_STRATEGY},
    old=_OLD,
)
def thresholds(
    given: GivenRun,
    out: Annotated[Path, option("The JSON file to write, for --thresholds.")],
    images: Annotated[list[Path] | None, argument("Unlabelled images, instead of --dataset.", "IMAGE|FOLDER")] = None,
    rule: Annotated[
        str | None,
        option(
            "With a data set: per-label or global[,field=value…]. Fields: precision (to reach, instead of best F1), "
            "calibrate (platt or isotonic, for probabilities), folds, seed. [default: per-label,folds=5,seed=0]",
            "--rule",
            panel=DECISIONS,
        ),
    ] = None,
    expect: Annotated[
        str | None,
        option(
            f"Without targets: mean number of labels per image, or share=S, the share of images with each label. "
            f"[default: {_EXPECTED}, a guess]",
            "--expect",
            panel=DECISIONS,
        ),
    ] = None,
    force: HiddenForce = False,
    json: Json = False,
) -> None:
    """Choose thresholds from a labelled data set, or from the number of labels you expect per image."""
    old = {_FIELDS.get(name, name): value for name, value in given.old.items() if name != "share"}
    with refusals():
        from zsprompt._utils.file_kinds import THRESHOLDS
        from zsprompt._utils.outputs import check_output
        from zsprompt.data.inputs import find_sources, reads_sources
        from zsprompt.experiments.inputs import inputs_of
        from zsprompt.strategies import save_thresholds

        spec = given.spec()
        if (spec.dataset is None) == (not images):
            raise UsageError("expected either --dataset with labels, or images and --labels, found neither or both")
        chosen = replace(_Rule(), **read_family(rule, _Rule, "--rule", head="kind", old=old))
        shares = {name: value for name, value in given.old.items() if name == "share"}
        expectation = _Expectation(**read_family(expect, _Expectation, "--expect", head="labels", old=shares))
        if expect is not None and expectation == _Expectation():
            raise UsageError(f"expected labels per image, or share=S, for --expect, found {quoted(expect)}")
        given.use(THRESHOLDS_BY_EXPECTATION if images else THRESHOLDS_BY_TARGETS)
        chosen.choice()  # refused before any work
        inputs = [reads_sources(images or ()), *inputs_of(spec)]
        check_output(out, THRESHOLDS, inputs=inputs, force=force)
        resources = given.resources()
        resolved = spec.resolve(resources)
        check_output(out, THRESHOLDS, inputs=inputs_of(spec, resolved.dataset), force=force)
        resolved.check(resources)
        sources = find_sources(images) if images else None  # before a model is loaded
        with resources.open_store(resolved.model, spec.device, spec.precision) as store:
            prepared = resolved.prepared(store)
            notes((*prepared.domain_warnings, *resolved.label_warnings))
            made = _from_expectation(prepared, sources, expectation) if sources else _from_targets(prepared, chosen)
        save_thresholds(made, out, force=force)
        _show(made, out, json)


def _from_targets(prepared: Prepared, rule: _Rule) -> Thresholds:
    """Thresholds chosen by targets."""
    from zsprompt.evaluation.provenance import learnt_from
    from zsprompt.evaluation.thresholds import choose_thresholds

    result = prepared.run()
    for warning in learnt_from(prepared.strategy, prepared.data.name, result.images):
        note(warning)
    return choose_thresholds(result, rule=rule.choice(), calibrate=rule.calibrate, folds=rule.folds, seed=rule.seed)


def _from_expectation(prepared: Prepared, sources: Sources, expect: _Expectation) -> Thresholds:
    """Thresholds chosen by the expected number of labels, without targets."""
    from zsprompt.evaluation.predict import predict
    from zsprompt.evaluation.provenance import describe
    from zsprompt.evaluation.thresholds import expected_thresholds

    labels, per_image = prepared.labels, expect.labels
    captions = prepared.resolved.image_captions
    answer = predict(sources, labels, prepared.store, strategy=prepared.strategy, captions=captions)
    if expect == _Expectation():
        per_image = min(_EXPECTED, len(labels) / 2)
    recipe = describe(prepared.strategy, prepared.store, labels)
    return expected_thresholds(answer, recipe, labels_per_image=per_image, share=expect.share)


def _show(made: Thresholds, out: Path, json: bool) -> None:
    from zsprompt._utils.files import to_json
    from zsprompt.report.terminal import thresholds_table
    from zsprompt.strategies import thresholds_dict

    typer.echo(to_json(thresholds_dict(made)) if json else thresholds_table(made, blocks=can_print("█")))
    note(f"wrote the thresholds to {out}; use them with --thresholds {out}")
    if not made.tuned:
        note("chosen by the number of labels you expect, without targets: how accurate they are is unknown")
