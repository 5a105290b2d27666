"""Prompt files written by an LLM (descriptions, paraphrases), and the random-word baselines for them."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from zsprompt._utils.file_kinds import PROMPTS, RANDOM_WORDS
from zsprompt._utils.outputs import write_text
from zsprompt._utils.text import counted, words_of
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
    """Up to `count` visual sentences per label. A label gets none if all its sentences are rejected.

    Raises:
        LLMError: the server cannot be reached or refuses, or the budget ended. Answers are kept.
        UsageError: the count is below 1 or above 50.
    """
    _check_count(count)
    questions: dict[str, Messages] = {
        label: (("user", _DESCRIBE.format(label=label, a_label=with_article(label), count=count)),) for label in labels
    }
    lines = _answers(writer, list(questions.values()))
    descriptions = {}
    for label, messages in questions.items():
        texts = [text for text in lines[messages] if complaint(text, [label], [label]) is None]
        descriptions[label] = texts[:count]
    return descriptions


def paraphrase(writer: Writer, template: str, count: int) -> list[str]:
    """`template` and up to `count` paraphrases of it, each with {a_label} once.

    Raises:
        LLMError: see `describe`; or every paraphrase is rejected.
        UsageError: the template does not have {a_label} once, or the count is below 1 or above 50.
    """
    _check_count(count)
    if template.count("{a_label}") != 1:
        raise UsageError(f"expected a template with {{a_label}} once, found {template!r}")
    question: Messages = (("user", _PARAPHRASE.format(template=template, count=count)),)
    lines = _answers(writer, [question])[question]
    good = [line for line in lines if line.count("{a_label}") == 1 and not re.search(r"[{}]", _without(line))]
    if not good:
        raise LLMError(f"{writer.client.server.base_url} gave no wording with {{a_label}}; try another model")
    return list(dict.fromkeys([template, *good]))[: count + 1]


def random_words(prompts: PromptSet, labels: Sequence[str], seed: int = 0) -> dict[str, list[str]]:
    """Random texts, with the number and lengths of those in `prompts`.

    The label stays in each text. The other words are drawn from all texts of all `labels`: the vocabulary is the same,
    but the texts have no meaning. The gain of descriptions over this baseline is due to their meaning.

    Raises:
        PromptError: `prompts` has no texts for single labels, or no words besides the labels.

    Source: after WaffleCLIP, Roth et al. 2023, Waffling Around for Performance.
    """
    texts = dict(zip(labels, prompts.ensemble(labels), strict=True))
    names = {word for label in labels for word in words_of([label])}
    pool = [word for ensemble in texts.values() for word in words_of(ensemble) if word not in names]
    if not pool:
        raise PromptError(f"expected words besides the labels in prompt set {prompts.name!r}, found none")
    chance = random.Random(seed)
    return {label: [_scrambled(label, text, pool, chance) for text in ensemble] for label, ensemble in texts.items()}


def random_captions(bank: Bank, seed: int = 0) -> list[Caption]:
    """One random caption per caption of `bank`, of the same length: the set's labels, then words drawn from the bank.

    Raises:
        CaptionError: `bank` has no words besides the labels.

    Source: see `random_words`.
    """
    names = {word for key in bank.captions for word in words_of(key)}
    texts = [caption.caption for caption in bank.captions.values()]
    pool = [word for word in words_of(texts) if word not in names]
    if not pool:
        raise CaptionError(f"expected words besides the labels in caption bank {bank.name}, found none")
    chance = random.Random(seed)
    return [
        Caption(c.labels, _scrambled(" ".join(c.labels), c.caption, pool, chance).strip(), RANDOM_WORDS)
        for c in bank.captions.values()
    ]


def save_prompts(
    path: Path, *, about: str, source: str, described: Mapping[str, Sequence[str]], force: bool = False
) -> None:
    """Write a prompt file for `--prompts`, with texts per label.

    Args:
        path: the file; an earlier one by this function or `save_templates` is replaced.
        about: what the prompts are.
        source: where they come from.
        described: texts by label.
        force: also replace a file that zsprompt did not write.

    Raises:
        OutputError: another file is at `path`, or the file cannot be written.
    """
    lists = "".join(f"{_quoted(label)} = {_listed(texts)}" for label, texts in described.items() if texts)
    _save(path, about, source, f"label = {_quoted(_TEMPLATE)}\n\n[labels]\n{lists}", force)


def save_templates(path: Path, *, about: str, source: str, templates: Sequence[str], force: bool = False) -> None:
    """Write a prompt file for `--prompts`, with templates.

    Args, Raises: see `save_prompts`.
    """
    _save(path, about, source, f"label = {_listed(templates)}", force)


def _save(path: Path, about: str, source: str, prompts: str, force: bool) -> None:
    head = f"{PROMPTS.mark}\nabout = {_quoted(about)}\nsource = {_quoted(source)}\n"
    write_text(path, PROMPTS, head + prompts, force=force)


def _listed(texts: Sequence[str]) -> str:
    """A TOML array with one text per line."""
    rows = "".join(f"  {_quoted(text)},\n" for text in texts)
    return f"[\n{rows}]\n"


def _answers(writer: Writer, questions: Sequence[Messages]) -> dict[Messages, list[str]]:
    """The usable lines of the answer to each question."""
    answers, unasked = writer.answer(questions)
    if unasked:
        raise LLMError(
            f"the budget ended with {counted(unasked, 'question')} left; answers are kept, "
            "run again with larger max_calls or max_tokens (--llm …,max_calls=N)"
        )
    return {question: _lines(answer.text) for question, answer in answers.items()}


def _lines(text: str) -> list[str]:
    lines = [tidy(_BULLET.sub("", line)) for line in text.splitlines()]
    return list(dict.fromkeys(line for line in lines if line and not is_refusal(line)))


def _scrambled(label: str, text: str, pool: Sequence[str], chance: random.Random) -> str:
    label_words = len(list(words_of([label])))
    more = max(0, len(list(words_of([text]))) - label_words)
    return " ".join([label, *(chance.choice(pool) for _ in range(more))])


def _without(line: str) -> str:
    return line.replace("{a_label}", "")


def _check_count(count: int) -> None:
    if not 1 <= count <= _MOST:
        raise UsageError(f"expected a count from 1 to {_MOST}, found {count}")


def _quoted(text: str) -> str:
    """A TOML basic string: a JSON string, with invisible characters escaped."""
    shown = json.dumps(text, ensure_ascii=False)
    return "".join(mark if mark.isprintable() else f"\\U{ord(mark):08x}" for mark in shown)
