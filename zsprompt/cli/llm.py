"""The command line of what an LLM writes ahead of time: captions into a bank, prompt files, captions of pictures."""

from __future__ import annotations

from dataclasses import asdict
from enum import Enum
from itertools import chain, combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zsprompt._utils.registry import DEFAULT_MODEL
from zsprompt.cli.options import (
    CacheFolder,
    CaptionBank,
    Json,
    Limit,
    LlmBaseUrl,
    LlmModel,
    LlmTimeout,
    MaxCalls,
    MaxTokens,
    Offline,
    Root,
    RunModel,
    Sample,
    Seed,
    Split,
)
from zsprompt.cli.session import CaptionSource, check_part, load_model, note, read_labels, refusals, take_part
from zsprompt.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zsprompt.data.images import ImageRef
    from zsprompt.llm import Budget, Captions, Described, Plan, Writer, Written
    from zsprompt.prompts import LabelSet
    from zsprompt.store import EmbeddingStore

_MOST_SETS = 2**20
_NAMED = 10
_NO_SERVER = "expected an LLM to ask: give --llm-model or --llm-base-url, or ZSPROMPT_LLM_MODEL"


class Rewrite(str, Enum):
    """What `zsprompt rewrite` makes."""

    descriptions = "descriptions"
    paraphrases = "paraphrases"
    random_words = "random-words"


def caption(
    strategy: Annotated[str, typer.Option(help="Whose label sets: llm, top-all, list-all, with fields.")] = "llm",
    dataset: Annotated[str | None, typer.Option(help="For the label sets of a run on this data set.")] = None,
    root: Annotated[Path | None, typer.Option(help="Its folder. [default: looked for in ZSPROMPT_DATA]")] = None,
    split: Annotated[str | None, typer.Option(help="Which of its lists. [default: the data set's test list]")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N pictures.")] = None,
    labels: Annotated[str | None, typer.Option(help='Or for sets of your words: "dog, cat".')] = None,
    labels_file: Annotated[Path | None, typer.Option(help="A text file with one label a line.")] = None,
    set_size: Annotated[int, typer.Option(min=1, help="The largest set of your words.")] = 2,
    model: RunModel = None,
    captions: CaptionBank = None,
    llm_model: LlmModel = None,
    llm_base_url: LlmBaseUrl = None,
    llm_timeout: LlmTimeout = None,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take, and ask nothing.")] = False,
    price_in: Annotated[float | None, typer.Option(min=0, help="Of a million tokens asked, for --dry-run.")] = None,
    price_out: Annotated[float | None, typer.Option(min=0, help="Of a million tokens answered.")] = None,
    cache: CacheFolder = None,
    out: Annotated[Path | None, typer.Option(help="A .jsonl file for the captions, for --captions.")] = None,
    json: Json = False,
) -> None:
    """Have an LLM caption label sets ahead of a run, each once, within a budget."""
    with refusals():
        from zsprompt._utils.files import require_writable
        from zsprompt.llm import Budget

        if (dataset is None) == (labels is None and labels_file is None):
            raise UsageError("expected either --dataset, or --labels or --labels-file")
        if out:
            require_writable(out)
        budget = Budget(max_calls, max_tokens)
        if dataset is not None:
            sets, words, own, store = _sets_of_run(strategy, dataset, root, split, limit, model, cache)
        else:
            words, own = read_labels(labels, labels_file), None
            sets, store = _sets_of_words(words, set_size), load_model(model or DEFAULT_MODEL, cache)
        with store:
            source = CaptionSource(captions, own, llm_model, llm_base_url, llm_timeout, False, cache)
            found = source.captions(budget)
            if found is None or (found.writer is None and not dry_run):
                raise UsageError(_NO_SERVER)
            plan = found.plan(sets, words)
            note(_planned(plan, found, price_in, price_out))
            if dry_run:
                typer.echo(_json({"dry_run": True} | asdict(plan)) if json else f"{plan.asked}")
                return
            written = found.fetch(sets, words, store.fits)
        _finish(written, budget, out, json)


def rewrite(
    kind: Annotated[Rewrite, typer.Argument(help="What to make.")],
    out: Annotated[
        Path, typer.Option(help="The .toml file to write, for --prompts; random words also .jsonl, for --captions.")
    ],
    labels: Annotated[str | None, typer.Option(help='Your words: "dog, cat".')] = None,
    labels_file: Annotated[Path | None, typer.Option(help="A text file with one label a line.")] = None,
    count: Annotated[int, typer.Option(min=1, max=50, help="Texts a label, or paraphrases.")] = 6,
    template: Annotated[str, typer.Option(help="What to paraphrase.")] = "a photo of {a_label}",
    like: Annotated[
        str, typer.Option(help="The prompt set (for a .jsonl file: caption bank) that random words imitate.")
    ] = "photo",
    seed: Annotated[int, typer.Option(help="Of the random words.")] = 0,
    llm_model: LlmModel = None,
    llm_base_url: LlmBaseUrl = None,
    llm_timeout: LlmTimeout = None,
    offline: Offline = False,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    cache: CacheFolder = None,
) -> None:
    """Write a prompt file: an LLM's descriptions or paraphrases, or the random words they have to beat."""
    with refusals():
        from zsprompt._utils.files import require_writable
        from zsprompt.llm import Budget

        require_writable(out)
        if kind is Rewrite.random_words:
            typer.echo(_write_random_words(out, like, labels, labels_file, seed))
            return
        words = [] if kind is Rewrite.paraphrases else read_labels(labels, labels_file)
        source = CaptionSource(None, None, llm_model, llm_base_url, llm_timeout, offline, cache)
        writer = source.writer(Budget(max_calls, max_tokens))
        if writer is None:
            raise UsageError(_NO_SERVER)
        typer.echo(_ask_for_texts(writer, kind, out, words, template, count))


def describe(
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IMAGE|FOLDER|TAR|LIST",
            help="Pictures, folders of them, .tar files (WebDataset shards), .csv, .jsonl or .parquet lists of files.",
        ),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Or a data set; see `zsprompt list datasets`.")] = None,
    root: Root = None,
    split: Split = None,
    limit: Limit = None,
    sample: Sample = None,
    seed: Seed = None,
    question: Annotated[str | None, typer.Option(help="What to ask, instead of for a caption in English.")] = None,
    words: Annotated[int, typer.Option(min=1, max=100, help="Of the longest caption that will do.")] = 30,
    llm_model: Annotated[
        str | None, typer.Option(help="An LLM that sees pictures. [default: ZSPROMPT_LLM_MODEL]")
    ] = None,
    llm_base_url: LlmBaseUrl = None,
    llm_timeout: LlmTimeout = None,
    offline: Offline = False,
    max_calls: MaxCalls = None,
    max_tokens: MaxTokens = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many would be asked about, and ask nothing.")] = (
        False
    ),
    cache: CacheFolder = None,
    out: Annotated[Path | None, typer.Option(help="A .csv file for the captions.")] = None,
    json: Json = False,
) -> None:
    """Have an LLM that sees pictures caption each once, within a budget."""
    with refusals():
        from zsprompt._utils.files import require_writable
        from zsprompt.llm import Budget, describe_pictures
        from zsprompt.llm.image_captions import QUESTION

        if out:
            require_writable(out)
        elif not dry_run:
            raise UsageError("expected --out FILE for the captions, found none")
        source = CaptionSource(None, None, llm_model, llm_base_url, llm_timeout, offline or dry_run, cache)
        writer = source.writer(Budget(max_calls, max_tokens))
        if writer is None:
            raise UsageError(_NO_SERVER)
        if dataset is None:
            refs = _given_pictures(images or (), (root, split, limit, sample, seed))
        elif images:
            raise UsageError("expected either pictures or --dataset, found both")
        else:
            refs = _pictures_of(dataset, root, split, limit, sample, seed)
        found = describe_pictures(writer, refs, question=QUESTION if question is None else question, words=words)
        if dry_run or not out:
            typer.echo(_json({"dry_run": True} | _described(found, writer.budget)) if json else f"{found.unasked}")
        else:
            typer.echo(_save_described(found, writer.budget, out, json))
        _note_described(found, len(refs), offline, dry_run)
        if found.bad:
            raise typer.Exit(1)


def _write_random_words(out: Path, like: str, labels: str | None, labels_file: Path | None, seed: int) -> str:
    """Write the control of a caption bank (.jsonl) or of a prompt set; what was written."""
    from zsprompt.llm import load_bank, rewrites, save_bank
    from zsprompt.prompts import load_prompts

    if out.suffix == ".jsonl":
        captions = rewrites.random_captions(load_bank(like), seed)
        save_bank(captions, out)
        return f"{out}: {len(captions)} captions"
    texts = rewrites.random_words(load_prompts(like), read_labels(labels, labels_file), seed)
    about = f"Random words, as many and as long as the texts of {like}; seed {seed}."
    rewrites.save_prompts(out, about=about, source="zsprompt rewrite random-words", described=texts)
    return _texts_written(out, texts)


def _ask_for_texts(writer: Writer, kind: Rewrite, out: Path, words: list[str], template: str, count: int) -> str:
    """Write what an LLM says; what was written."""
    from zsprompt.llm import rewrites

    wrote = f"{writer.client.server.model}, asked by zsprompt rewrite {kind.value}"
    if kind is Rewrite.paraphrases:
        templates = rewrites.paraphrase(writer, template, count)
        rewrites.save_templates(out, about=f"Paraphrases of {template!r}.", source=wrote, templates=templates)
        return f"{out}: {len(templates)} templates"
    texts = rewrites.describe(writer, words, count)
    rewrites.save_prompts(out, about="Visual descriptions of labels.", source=wrote, described=texts)
    if without := [label for label, own in texts.items() if not own]:
        note(f"no sentence would do for {', '.join(without)}; the template words them")
    return _texts_written(out, texts)


def _texts_written(out: Path, texts: dict[str, list[str]]) -> str:
    return f"{out}: {sum(map(len, texts.values()))} texts for {len(texts)} labels"


def _sets_of_run(
    strategy: str,
    dataset: str,
    root: Path | None,
    split: str | None,
    limit: int | None,
    model: str | None,
    cache: Path | None,
) -> tuple[list[LabelSet], list[str], str | None, EmbeddingStore]:
    """The label sets of a run, the labels, the data set's own bank, and the store that embedded its pictures."""
    from zsprompt.data import load_dataset
    from zsprompt.errors import BadImages
    from zsprompt.store.image_embeddings import Images
    from zsprompt.strategies import ListAll, Llm, TopAll, load_strategy

    chosen = load_strategy(strategy)
    if not isinstance(chosen, Llm | TopAll | ListAll):
        raise UsageError(f"expected a strategy with label sets (llm, top-all, list-all), found {strategy!r}")
    data = load_dataset(dataset, root=root, split=split)
    data = data if limit is None else data.first(limit)
    store = load_model(model or data.model or DEFAULT_MODEL, cache)
    embedded = store.images(data.images)
    if embedded.bad:
        raise BadImages([(data.images[i].id, reason) for i, reason in embedded.bad], len(data.images))
    sets = chosen.label_sets(Images(embedded.vectors), data.labels, store)
    return sets, list(data.labels), data.bank, store


def _sets_of_words(words: list[str], largest: int) -> list[LabelSet]:
    from math import comb

    from zsprompt.prompts.labels import check_labels

    words = sorted(check_labels(words))
    count = sum(comb(len(words), size) for size in range(min(largest, len(words)) + 1))
    if count > _MOST_SETS:
        raise UsageError(f"{len(words)} labels have {count:,} sets of at most {largest}; use a smaller --set-size")
    return list(chain.from_iterable(combinations(words, size) for size in range(largest + 1)))


def _planned(plan: Plan, captions: Captions, price_in: float | None, price_out: float | None) -> str:
    where = f" in bank {captions.bank.name}" if plan.banked else ""
    text = f"{plan.sets:,} label sets: {plan.banked:,}{where}, {plan.answered:,} answered before, {plan.asked:,} to ask"
    if not plan.asked:
        return text
    text += f"; about {plan.question_tokens:,} tokens to ask and at most {plan.answer_tokens:,} to answer"
    if price_in is None and price_out is None:
        return text
    asking = plan.question_tokens * (price_in or 0) / 1e6
    return f"{text}, which costs {asking:,.2f} to {asking + plan.answer_tokens * (price_out or 0) / 1e6:,.2f}"


def _finish(written: Written, budget: Budget, out: Path | None, json: bool) -> None:
    from zsprompt.llm import save_bank

    if out:
        save_bank(written.captions.values(), out)
    facts = {
        "captions": len(written.captions),
        "requests": budget.calls_made,
        "tokens": budget.tokens_used,
        "shortened": len(written.shortened),
        "failed": {" + ".join(sorted(key)): said for key, said in written.failed.items()},
        "unasked": written.unasked,
    }
    kept = f"; written to {out}" if out else ""
    typer.echo(
        _json(facts) if json else f"{len(written.captions):,} captions, {budget.calls_made:,} requests now{kept}"
    )
    if written.shortened:
        note(f"{len(written.shortened):,} cut at the end of a clause to fit the model")
    for key, said in list(written.failed.items())[:_NAMED]:
        note(f"two answers would not do for {' + '.join(sorted(key)) or 'the empty set'}: {said}")
    if written.failed:
        note(f"{len(written.failed):,} sets without a caption; in a run the template words them")
    if written.unasked:
        note(f"the budget ended with {written.unasked:,} sets not asked for; the same command goes on from there")


def _pictures_of(
    dataset: str, root: Path | None, split: str | None, limit: int | None, sample: int | None, seed: int | None
) -> list[ImageRef]:
    """The pictures of a data set, or of a part of it."""
    from zsprompt.data import load_dataset

    check_part(limit, sample, seed)
    return _each_once(take_part(load_dataset(dataset, root=root, split=split), limit, sample, seed).images)


def _given_pictures(paths: Sequence[Path], for_a_dataset: Sequence[object]) -> list[ImageRef]:
    """The pictures at `paths`; options that are for a data set must be None."""
    from zsprompt._utils.text import counted
    from zsprompt.data.inputs import find_sources

    if not paths:
        raise UsageError("expected pictures or --dataset NAME, found neither")
    if any(option is not None for option in for_a_dataset):
        raise UsageError("expected --dataset with --root, --split, --limit, --sample or --seed, found pictures")
    sources = find_sources(paths)
    if sources.passed_over:
        note(f"passed over {counted(sources.passed_over, 'other file')}")
    return _each_once(sources)


def _each_once(images: Iterable[ImageRef]) -> list[ImageRef]:
    """The pictures, each once. Raises UsageError for two with one name: a caption could be of either."""
    found: dict[str, ImageRef] = {}
    for image in images:
        if found.setdefault(image.id, image) != image:
            raise UsageError(f"expected names of their own, found two pictures {image.id}; describe them one by one")
    return list(found.values())


def _save_described(found: Described, budget: Budget, out: Path, json: bool) -> str:
    """Write the captions, if there are any; what is to be printed."""
    from zsprompt._utils.text import counted
    from zsprompt.data.datasets.image_captions import save_picture_captions

    if found.captions:
        save_picture_captions(found.captions, out)
    if json:
        return _json(_described(found, budget))
    kept = f"; written to {out}" if found.captions else ""
    return f"{counted(len(found.captions), 'caption')}, {counted(budget.calls_made, 'request')} now{kept}"


def _described(found: Described, budget: Budget) -> dict[str, Any]:
    """For --json."""
    return {
        "captions": len(found.captions),
        "requests": budget.calls_made,
        "tokens": budget.tokens_used,
        "failed": found.failed,
        "bad": found.bad,
        "unasked": found.unasked,
    }


def _note_described(found: Described, pictures: int, offline: bool, dry_run: bool) -> None:
    from zsprompt._utils.text import counted
    from zsprompt.report import printable

    unasked = counted(found.unasked, "picture")
    if dry_run:
        before = len(found.captions) + len(found.failed)
        note(f"{counted(pictures, 'picture')}: {before:,} answered before, {found.unasked:,} to ask about")
    elif found.unasked and offline:
        note(f"{unasked} without an answer that is kept; without --offline the same command asks about them")
    elif found.unasked:
        note(f"the budget ended with {unasked} not asked about; the same command goes on from there")
    for image, said in list(found.failed.items())[:_NAMED]:
        note(f"two answers would not do for {printable(image)}: {said}")
    if found.failed:
        note(f"{counted(len(found.failed), 'picture')} without a caption; another --question or model may do")
    for image, reason in found.bad.items():
        note(f"cannot read {printable(image)}: {reason}")
    if found.bad:
        total = counted(pictures, "picture")
        note(f"error: expected {total} that can be read, {len(found.bad):,} cannot; mend or remove them")


def _json(facts: dict[str, Any]) -> str:
    from zsprompt._utils.files import to_json

    return to_json(facts)
