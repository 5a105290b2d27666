"""zsprompt write-prompts: prompt files by an LLM, their control of random words, or sentences of a file."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zsprompt.cli.caption_labels import NO_LLM
from zsprompt.cli.given_run import GivenRun, Old, takes_run
from zsprompt.cli.llm_outcome import exit_if_incomplete, name_refused
from zsprompt.cli.modes import DESCRIPTIONS, PARAPHRASES, RANDOM_CAPTIONS, RANDOM_PROMPTS, SENTENCES, Mode
from zsprompt.cli.options import Force, argument, option
from zsprompt.cli.session import note, notes, refusals
from zsprompt.errors import PromptError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zsprompt.llm import Writer

_NO_RUN = "writing prompts involves no run"


class Kind(str, Enum):
    """What `zsprompt write-prompts` makes."""

    descriptions = "descriptions"
    paraphrases = "paraphrases"
    random_words = "random-words"
    sentences = "sentences"


_LEFT_OUT = dict.fromkeys(
    (
        *("strategy", "dataset", "model", "prompts", "root", "split", "names", "without", "captions"),
        *("image_captions", "thresholds", "difficult", "limit", "sample", "skip_bad", "device", "precision", "seed"),
    ),
    _NO_RUN,
)


@takes_run(leave_out=_LEFT_OUT, old=(Old("seed_of_words", int, "--random-seed K", "--seed"),))
def write_prompts(
    given: GivenRun,
    kind: Annotated[Kind, argument("descriptions, paraphrases, random-words or sentences.", "KIND")],
    out: Annotated[Path, option("A .toml file, for --prompts; for random words also .jsonl, for --captions.")],
    count: Annotated[int, option("Texts per label, or number of paraphrases.", min=1, max=50)] = 6,
    template: Annotated[str, option("The template to paraphrase.")] = "a photo of {a_label}",
    like: Annotated[str, option("The prompt set (for .jsonl: the caption bank) that random words imitate.")] = "photo",
    sentences: Annotated[Path | None, option("A text file with a sentence per line, to choose from.")] = None,
    random_seed: Annotated[int, option("Seed of the random words.")] = 0,
    force: Force = False,
) -> None:
    """Write a prompt file: descriptions or paraphrases by an LLM, their random-word control, or chosen sentences."""
    with refusals():
        from zsprompt._utils.file_kinds import PROMPTS, RANDOM_BANK
        from zsprompt._utils.outputs import check_output, reads_file
        from zsprompt.experiments.inputs import inputs_of
        from zsprompt.prompts.odd_labels import label_warnings

        spec, resources = given.spec(), given.resources()
        given.use(_mode(kind, out))
        made = RANDOM_BANK if kind is Kind.random_words and out.suffix == ".jsonl" else PROMPTS
        read = [reads_file(path) for path in (Path(like), sentences) if path]
        check_output(out, made, inputs=[*read, *inputs_of(spec)], force=force)
        notes(label_warnings(spec.label_list or (), spec.label_places))
        if kind is Kind.random_words:
            seed = given.old.get("seed_of_words", random_seed)
            typer.echo(_random_words(out, like, spec.label_list, seed, force))
            return
        labels = () if kind is Kind.paraphrases else _required(spec.label_list)
        if kind is Kind.sentences:
            typer.echo(_sentences(out, sentences, labels, count, force))
            return
        writer = resources.writer(spec.llm)
        if writer is None:
            raise UsageError(NO_LLM)
        if kind is Kind.paraphrases:
            typer.echo(_paraphrases(writer, out, template, count, force))
        else:
            _descriptions(writer, out, labels, count, force)


def _mode(kind: Kind, out: Path) -> Mode:
    if kind is Kind.random_words:
        return RANDOM_CAPTIONS if out.suffix == ".jsonl" else RANDOM_PROMPTS
    return {Kind.descriptions: DESCRIPTIONS, Kind.paraphrases: PARAPHRASES, Kind.sentences: SENTENCES}[kind]


def _required(labels: Sequence[str] | None) -> Sequence[str]:
    if labels is None:
        raise UsageError('expected --labels "dog, cat" or --labels @FILE, found neither')
    return labels


def _random_words(out: Path, like: str, labels: Sequence[str] | None, seed: int, force: bool) -> str:
    """Write the control of a caption bank (.jsonl) or of a prompt set; returns a summary."""
    from zsprompt.llm import rewrites
    from zsprompt.prompts import load_bank, load_prompts, save_bank

    if out.suffix == ".jsonl":
        captions = rewrites.random_captions(load_bank(like), seed)
        save_bank(captions, out, force=force)
        return f"{out}: {len(captions)} captions"
    texts = rewrites.random_words(load_prompts(like), _required(labels), seed)
    about = f"Random words, as many and as long as the texts of {like}; seed {seed}."
    rewrites.save_prompts(out, about=about, source="zsprompt write-prompts random-words", described=texts, force=force)
    return _in_words(out, texts)


def _sentences(out: Path, bank: Path | None, labels: Sequence[str], count: int, force: bool) -> str:
    """Write the sentences of a bank that mention a label; returns a summary."""
    from zsprompt.llm import rewrites
    from zsprompt.llm.sentences import about_labels, load_sentences

    if bank is None:
        raise UsageError("expected --sentences FILE, a text file with a sentence per line, found none")
    texts = about_labels(load_sentences(bank), labels, count)
    if not any(texts.values()):
        raise PromptError(f"expected sentences in {bank} that mention one label each, found none; use another file")
    if without := [label for label, chosen in texts.items() if not chosen]:
        note(f"found no sentence for {', '.join(without)}; the template words labels without one")
    about = f"Sentences of {bank.name} that mention the label."
    rewrites.save_prompts(out, about=about, source="zsprompt write-prompts sentences", described=texts, force=force)
    return _in_words(out, {label: chosen for label, chosen in texts.items() if chosen})


def _paraphrases(writer: Writer, out: Path, template: str, count: int, force: bool) -> str:
    """Write what an LLM answers; returns a summary."""
    from zsprompt.llm import rewrites

    templates = rewrites.paraphrase(writer, template, count)
    about = f"Paraphrases of {template!r}."
    source = _source(writer, Kind.paraphrases)
    rewrites.save_templates(out, about=about, source=source, templates=templates, force=force)
    return f"{out}: {len(templates)} templates"


def _descriptions(writer: Writer, out: Path, labels: Sequence[str], count: int, force: bool) -> None:
    """Write what an LLM answers, if anything, and print a summary. Raises typer.Exit if labels were refused."""
    from zsprompt.llm import rewrites

    done = rewrites.describe(writer, labels, count)
    described = sum(map(bool, done.texts.values()))
    if described:
        source = _source(writer, Kind.descriptions)
        about = "Visual descriptions of labels."
        rewrites.save_prompts(out, about=about, source=source, described=done.texts, force=force)
        typer.echo(_in_words(out, done.texts))
    if without := [label for label, texts in done.texts.items() if not texts and label not in done.refused]:
        note(f"every sentence was rejected for {', '.join(without)}; the template words them")
    if done.cut:
        note(
            f"the answer broke off for {', '.join(done.cut)} (finish_reason length); "
            "set a larger --llm …,answer_tokens=N, or a smaller --count"
        )
    name_refused(done.refused)
    exit_if_incomplete(done.refused, described, len(labels), "label")


def _source(writer: Writer, kind: Kind) -> str:
    return f"{writer.client.server.model}, asked by zsprompt write-prompts {kind.value}"


def _in_words(out: Path, texts: dict[str, list[str]]) -> str:
    return f"{out}: {sum(map(len, texts.values()))} texts for {len(texts)} labels"
