"""zsprompt caption-labels: captions of label sets, written by an LLM ahead of a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import chain, combinations
from math import comb
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zsprompt._utils.text import counted, finite
from zsprompt.cli.given_run import GivenRun, Old, takes_run
from zsprompt.cli.llm_outcome import exit_if_incomplete, name_refused
from zsprompt.cli.modes import CAPTIONS_OF_DATASET, CAPTIONS_OF_LABELS, WITHOUT_OUT
from zsprompt.cli.options import CAPTIONS, HiddenForce, Json, option
from zsprompt.cli.session import note, notes, refusals
from zsprompt.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zsprompt.experiments.spec import Prepared, Resolved
    from zsprompt.llm import Budget, Captions, Plan, Written
    from zsprompt.prompts import LabelSet
    from zsprompt.strategies import ListAll, Llm, TopAll

NO_LLM = "expected an LLM, found none; pass --llm [SERVER:]MODEL or set ZSPROMPT_LLM_MODEL"
_MOST_SETS = 2**20
_NAMED = 10
_LEFT_OUT = {
    "thresholds": "captions are written before anything is decided",
    "image_captions": "label sets come from images, not from their captions",
    "difficult": "captions do not depend on targets",
}


@dataclass(frozen=True)
class _Price:
    """The fields of --price, per million tokens."""

    into: float | None = None
    out: float | None = None


_OLD = (
    Old("price_in", float, "--price in=X"),
    Old("price_out", float, "--price out=X"),
)


@takes_run(leave_out=_LEFT_OUT, defaults={"strategy": "llm"}, old=_OLD)
def caption_labels(
    given: GivenRun,
    out: Annotated[Path | None, option("JSONL file for the captions, to use with --captions.")] = None,
    set_size: Annotated[int, option("Without --dataset: size of the largest set of your --labels.", min=1)] = 2,
    dry_run: Annotated[
        bool, option("Print how many requests it would send, and send none.", "--dry-run", panel=CAPTIONS)
    ] = False,
    price: Annotated[
        str | None, option("in=X,out=Y: price per million tokens, to print the cost before.", panel=CAPTIONS)
    ] = None,
    force: HiddenForce = False,
    json: Json = False,
) -> None:
    """Caption each label set of a run once with an LLM, within a budget."""
    with refusals():
        from zsprompt._utils.file_kinds import BANK
        from zsprompt._utils.outputs import check_output
        from zsprompt.experiments.inputs import inputs_of
        from zsprompt.llm.options import captions_from

        spec, resources = given.spec(strategy="llm"), given.resources()
        if spec.dataset is None and spec.labels is None:
            raise UsageError("expected --dataset NAME, or --labels for sets of your labels, found neither")
        given.use(CAPTIONS_OF_LABELS if spec.dataset is None else CAPTIONS_OF_DATASET)
        if out is None:
            given.use(WITHOUT_OUT)
        cost = _price(price, given)
        if out:
            check_output(out, BANK, inputs=inputs_of(spec), force=force)
        resolved = replace(spec, captions=None, llm=None).resolve(resources)  # listing the sets needs no captions
        if out:
            check_output(out, BANK, inputs=inputs_of(spec, resolved.dataset), force=force)
        bank, writer = spec.captions, resources.writer(spec.llm)
        fixed = _fixed_sets(resolved, set_size)  # before a server is asked for
        captions = captions_from(bank or (resolved.dataset.bank if resolved.dataset else None), writer)
        if captions is None or (captions.writer is None and not dry_run):
            raise UsageError(NO_LLM)
        notes(resolved.label_warnings)  # before a server is asked
        if dry_run and fixed is not None:  # needs no model
            _show_plan(captions.plan(fixed, resolved.labels), captions, cost, json, dry_run)
            return
        if dry_run:
            note(_why_a_model(resolved))
        with resources.open_store(resolved.model, spec.device, spec.precision) as store:
            prepared = resolved.prepared(store)
            notes(prepared.domain_warnings if fixed is None else ())
            sets = _sets_of_run(prepared) if fixed is None else fixed
            _show_plan(captions.plan(sets, prepared.labels), captions, cost, json, dry_run)
            if dry_run:
                return
            written = captions.fetch(sets, prepared.labels, prepared.store.fits)
        if captions.writer is not None:
            _finish(written, captions.writer.budget, out, json, force)
            refused = _named(written.refused)
            name_refused(refused)
            exit_if_incomplete(refused, len(written.captions), len(sets), "label set")


def _fixed_sets(resolved: Resolved, largest: int) -> Sequence[LabelSet] | None:
    """The label sets, where they do not depend on what a model finds in images; else None."""
    if resolved.dataset is None:
        return _sets_of_labels(resolved.labels, largest)
    return _with_label_sets(resolved).fixed_label_sets(resolved.labels)


def _why_a_model(resolved: Resolved) -> str:
    """Why even a count embeds the images, and the number that it cannot exceed."""
    images, labels = len(resolved.data.images), len(resolved.labels)
    most = min(images * labels + 1, 2**labels)
    model = resolved.model if isinstance(resolved.model, str) else resolved.model.name
    return (
        f"the label sets depend on how {model} ranks the labels of each image, so this count embeds the images; "
        f"there are at most {most:,}. To count without a model, use llm,base=list-all, or --labels without --dataset"
    )


def _sets_of_run(prepared: Prepared) -> Sequence[LabelSet]:
    """The label sets of a run on a data set."""
    from zsprompt.data.dataset import refuse_or_skip
    from zsprompt.report import printable
    from zsprompt.store import Images

    strategy, data = _with_label_sets(prepared.resolved), prepared.data
    embedded = prepared.store.images(data.images)
    for image, reason in refuse_or_skip(data, embedded.bad, prepared.spec.skip_bad):
        note(f"left out {printable(image)}: {reason}")
    return strategy.label_sets(Images(embedded.vectors), data.labels, prepared.store)


def _with_label_sets(resolved: Resolved) -> Llm | TopAll | ListAll:
    """The strategy of a run, whose candidates are label sets. Raises UsageError for any other."""
    from zsprompt.strategies import ListAll, Llm, TopAll

    if not isinstance(resolved.strategy, Llm | TopAll | ListAll):
        raise UsageError(
            f"expected a strategy with label sets (llm, top-all, list-all), found {resolved.spec.strategy!r}"
        )
    return resolved.strategy


def _sets_of_labels(labels: Sequence[str], largest: int) -> list[LabelSet]:
    """All sets of at most `largest` labels. Raises UsageError for too many."""
    from zsprompt.prompts import check_labels

    ordered = sorted(check_labels(labels))
    count = sum(comb(len(ordered), size) for size in range(min(largest, len(ordered)) + 1))
    if count > _MOST_SETS:
        raise UsageError(f"{len(ordered)} labels have {count:,} sets of at most {largest}; use a smaller --set-size")
    return list(chain.from_iterable(combinations(ordered, size) for size in range(largest + 1)))


def _price(text: str | None, given: GivenRun) -> _Price:
    from zsprompt._utils.specs import split_fields

    old = [f"{name.removeprefix('price_')}={value}" for name, value in given.old.items()]
    settings = split_fields([*(text.split(",") if text else []), *old], f"--price {text or ','.join(old)}")
    if unknown := set(settings) - {"in", "out"}:
        raise UnknownName("field of --price", min(unknown), ("in", "out"))
    amounts = {name: _amount(name, value) for name, value in settings.items()}
    return _Price(amounts.get("in"), amounts.get("out"))


def _amount(name: str, text: str) -> float:
    try:
        amount = finite(text)
    except ValueError:
        amount = -1.0
    if amount < 0:
        raise UsageError(f"expected {name} of --price to be a number of at least 0, found {text!r}")
    return amount


def _show_plan(plan: Plan, captions: Captions, cost: _Price, json: bool, dry_run: bool) -> None:
    note(_planned(plan, captions, cost))
    if dry_run:
        typer.echo(_json({"dry_run": True} | asdict(plan)) if json else f"{plan.asked}")


def _planned(plan: Plan, captions: Captions, price: _Price) -> str:
    banked = f"{plan.banked:,} in bank {captions.bank.name}, " if plan.banked else ""
    text = f"{plan.sets:,} label sets: {banked}{plan.answered:,} answered before, {plan.asked:,} to ask"
    if not plan.asked:
        return text
    text += f"; about {plan.question_tokens:,} tokens to ask and at most {plan.answer_tokens:,} to answer"
    if price == _Price():
        return text
    asking = plan.question_tokens * (price.into or 0) / 1e6
    return f"{text}, which costs {asking:,.2f} to {asking + plan.answer_tokens * (price.out or 0) / 1e6:,.2f}"


def _finish(written: Written, budget: Budget, out: Path | None, json: bool, force: bool) -> None:
    from zsprompt.prompts import save_bank

    if out and written.captions:
        save_bank(written.captions.values(), out, force=force)
    facts = {
        "captions": len(written.captions),
        "requests": budget.calls_made,
        "tokens": budget.tokens_used,
        "shortened": len(written.shortened),
        "failed": _named(written.failed),
        "refused": _named(written.refused),
        "unasked": written.unasked,
    }
    kept = f"; written to {out}" if out and written.captions else ""
    typer.echo(
        _json(facts) if json else f"{len(written.captions):,} captions, {budget.calls_made:,} requests now{kept}"
    )
    if written.shortened:
        note(f"{len(written.shortened):,} cut at the end of a clause to fit the model")
    for name, complaint in list(_named(written.failed).items())[:_NAMED]:
        note(f"two answers were rejected for {name}: {complaint}")
    if without := len(written.failed) + len(written.refused):
        note(
            f"{counted(without, 'label set')} without a caption; a run with --llm uses the template for them, "
            "a run with --captions the captions of their parts"
        )
    if written.unasked:
        note(f"the budget ended with {written.unasked:,} sets left; the same command continues from there")


def _named(sets: Mapping[frozenset[str], str]) -> dict[str, str]:
    """The reasons by label set, named."""
    return {" + ".join(sorted(key)) or "the empty set": reason for key, reason in sets.items()}


def _json(facts: dict[str, Any]) -> str:
    from zsprompt._utils.files import to_json

    return to_json(facts)
