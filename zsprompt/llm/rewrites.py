"""Prompt files that an LLM writes: descriptions, paraphrases; and the random words that both have to beat."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from zsprompt._utils.files import whole_file
from zsprompt._utils.text import words_of
from zsprompt.errors import CaptionError, LLMError, PromptError, UsageError
from zsprompt.llm.checks import complaint, is_refusal, tidy
from zsprompt.llm.client import Messages
from zsprompt.llm.writer import Writer
from zsprompt.prompts import PromptSet
from zsprompt.prompts.articles import with_article
from zsprompt.prompts.caption_bank import Bank, Caption

_DESCRIBE = (
    "Describe what {a_label} looks like in a photo. Write {count} short visual sentences, one a line, each naming "
    '"{label}" and saying something that can be seen: overall look, parts, materials, surroundings. No numbering, '
    "nothing else."
)
_PARAPHRASE = (
    "Rewrite the text below in {count} other ways, one a line, for captions of photos. Keep {{a_label}} exactly as it "
    "stands, once in every line: it is replaced by the name of a thing. No numbering, nothing else.\n\n{template}"
)
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s*")
_TEMPLATE = "a photo of {a_label}"
_MOST = 50


def describe(writer: Writer, labels: Sequence[str], count: int) -> dict[str, list[str]]:
    """Up to `count` visual sentences for each label; a label of which no sentence will do gets none.

    Raises:
        LLMError: the server cannot be reached or refuses, or the budget ended; what was answered is kept.
        UsageError: a count below 1 or above 50.
    """
    _check_count(count)
    asked: dict[str, Messages] = {
        label: (("user", _DESCRIBE.format(label=label, a_label=with_article(label), count=count)),) for label in labels
    }
    lines = _answers(writer, list(asked.values()))
    found = {}
    for label, messages in asked.items():
        texts = [text for text in lines[messages] if complaint(text, [label], [label]) is None]
        found[label] = texts[:count]
    return found


def paraphrase(writer: Writer, template: str, count: int) -> list[str]:
    """`template` and up to `count` other wordings of it, each with {a_label} in it.

    Raises:
        LLMError: see `describe`; or no wording will do.
        UsageError: the template has no {a_label}, or a count below 1 or above 50.
    """
    _check_count(count)
    if template.count("{a_label}") != 1:
        raise UsageError(f"expected a template with {{a_label}} in it once, found {template!r}")
    asked: Messages = (("user", _PARAPHRASE.format(template=template, count=count)),)
    lines = _answers(writer, [asked])[asked]
    good = [line for line in lines if line.count("{a_label}") == 1 and not re.search(r"[{}]", _without(line))]
    if not good:
        raise LLMError(f"{writer.client.server.base_url} gave no wording with {{a_label}} in it; try another model")
    return list(dict.fromkeys([template, *good]))[: count + 1]


def random_words(prompts: PromptSet, labels: Sequence[str], seed: int = 0) -> dict[str, list[str]]:
    """For each label as many texts as `prompts` has, each as many words long, the words dealt at random.

    The label stays in each text; the other words are drawn from all texts of all `labels`, so they are the same words
    and mean nothing. What descriptions gain over this is what they say.

    Raises:
        PromptError: `prompts` has no texts for single labels.

    Source: after WaffleCLIP, Roth et al. 2023, Waffling Around for Performance.
    """
    texts = dict(zip(labels, prompts.ensemble(labels), strict=True))
    names = {word for label in labels for word in words_of([label])}
    pool = [word for own in texts.values() for text in own for word in words_of([text]) if word not in names]
    if not pool:
        raise PromptError(f"expected words besides the labels in prompt set {prompts.name!r}, found none")
    chance = random.Random(seed)
    return {label: [_scrambled(label, text, pool, chance) for text in own] for label, own in texts.items()}


def random_captions(bank: Bank, seed: int = 0) -> list[Caption]:
    """For each caption of `bank` one as many words long: the labels of its set, and words dealt at random from all.

    Source: see `random_words`.
    """
    names = {word for key in bank.captions for word in words_of(key)}
    texts = [caption.caption for caption in bank.captions.values()]
    pool = [word for word in words_of(texts) if word not in names]
    if not pool:
        raise CaptionError(f"expected words besides the labels in caption bank {bank.name}, found none")
    chance = random.Random(seed)
    return [
        Caption(c.labels, _scrambled(" ".join(c.labels), c.caption, pool, chance).strip(), "random words")
        for c in bank.captions.values()
    ]


def save_prompts(path: Path, *, about: str, source: str, described: Mapping[str, Sequence[str]]) -> None:
    """Write a prompt file with texts for each label, which `--prompts` takes.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_file(path) as file:
        file.write(f"about = {_quoted(about)}\nsource = {_quoted(source)}\nlabel = {_quoted(_TEMPLATE)}\n\n[labels]\n")
        for label, texts in described.items():
            if texts:
                rows = "".join(f"  {_quoted(text)},\n" for text in texts)
                file.write(f"{_quoted(label)} = [\n{rows}]\n")


def save_templates(path: Path, *, about: str, source: str, templates: Sequence[str]) -> None:
    """Write a prompt file with templates, which `--prompts` takes.

    Raises:
        OutputError: it cannot be written.
    """
    with whole_file(path) as file:
        rows = "".join(f"  {_quoted(template)},\n" for template in templates)
        file.write(f"about = {_quoted(about)}\nsource = {_quoted(source)}\nlabel = [\n{rows}]\n")


def _answers(writer: Writer, questions: Sequence[Messages]) -> dict[Messages, list[str]]:
    """The usable lines of the answer to each question."""
    answers, unasked = writer.answer(questions)
    if unasked:
        raise LLMError(
            f"the budget ended with {unasked:,} questions not asked; what was answered is kept, go on with a larger "
            "--max-calls or --max-tokens"
        )
    return {asked: _lines(answer.text) for asked, answer in answers.items()}


def _lines(text: str) -> list[str]:
    lines = [tidy(_BULLET.sub("", line)) for line in text.splitlines()]
    return list(dict.fromkeys(line for line in lines if line and not is_refusal(line)))


def _scrambled(label: str, text: str, pool: Sequence[str], chance: random.Random) -> str:
    own = len(list(words_of([label])))
    more = max(0, len(list(words_of([text]))) - own)
    return " ".join([label, *(chance.choice(pool) for _ in range(more))])


def _without(line: str) -> str:
    return line.replace("{a_label}", "")


def _check_count(count: int) -> None:
    if not 1 <= count <= _MOST:
        raise UsageError(f"expected a count of 1 to {_MOST}, got {count}")


def _quoted(text: str) -> str:
    """A basic string of TOML: one of JSON, but for marks that nobody could see."""
    shown = json.dumps(text, ensure_ascii=False)
    return "".join(mark if mark.isprintable() else f"\\U{ord(mark):08x}" for mark in shown)
