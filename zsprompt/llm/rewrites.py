"""Prompt files written by an LLM (descriptions, paraphrases), and the random-word baselines for them."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zsprompt._utils.file_kinds import PROMPTS, RANDOM_WORDS
from zsprompt._utils.outputs import write_text
from zsprompt._utils.text import counted, words_of
from zsprompt.errors import CaptionError, LLMError, PromptError, UsageError
from zsprompt.llm.caption_lines import caption_lines
from zsprompt.llm.checks import complaint, is_refusal
from zsprompt.llm.client import Answer, Messages
from zsprompt.llm.writer import Replies, Writer, broken_off
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
_TEMPLATE = "a photo of {a_label}"
_MOST = 50


@dataclass(frozen=True)
class Descriptions:
    """Visual sentences about labels.

    Attributes:
        texts: by label; none if all its sentences were rejected, or the server refused.
        refused: labels for which the server gives no answer, with the reason.
        cut: labels whose answer broke off before its end.
    """

    texts: dict[str, list[str]]
    refused: dict[str, str]
    cut: list[str]


def describe(writer: Writer, labels: Sequence[str], count: int) -> Descriptions:
    """Up to `count` visual sentences per label.

    Raises:
        LLMError: the server cannot be reached, refuses all requests, or the budget ended. Answers are kept.
        UsageError: the count is below 1 or above 50.
    """
    _check_count(count)
    questions: dict[str, Messages] = {
        label: (("user", _DESCRIBE.format(label=label, a_label=with_article(label), count=count)),) for label in labels
    }
    replies = _replies(writer, list(questions.values()))
    texts: dict[str, list[str]] = {}
    for label, messages in questions.items():
        lines = _lines(replies.answers.get(messages))
        texts[label] = [text for text in lines if complaint(text, [label], [label]) is None][:count]
    refused = {label: replies.refused[asked] for label, asked in questions.items() if asked in replies.refused}
    cut = [label for label, asked in questions.items() if asked in replies.answers and replies.answers[asked].cut]
    return Descriptions(texts, refused, cut)


def paraphrase(writer: Writer, template: str, count: int) -> list[str]:
    """`template` and up to `count` paraphrases of it, each with {a_label} once.

    Raises:
        LLMError: see `describe`; or the server refuses, or every paraphrase is rejected.
        UsageError: the template does not have {a_label} once, or the count is below 1 or above 50.
    """
    _check_count(count)
    if template.count("{a_label}") != 1:
        raise UsageError(f"expected a template with {{a_label}} once, found {template!r}")
    question: Messages = (("user", _PARAPHRASE.format(template=template, count=count)),)
    replies = _replies(writer, [question])
    if question in replies.refused:
        raise LLMError(f"{writer.client.server.base_url} gives no answer: {replies.refused[question]}")
    answer = replies.answers[question]
    good = [line for line in _lines(answer) if line.count("{a_label}") == 1 and not re.search(r"[{}]", _without(line))]
    if not good:
        problem = broken_off(answer)
        why = problem.reason if problem else "try another model"
        raise LLMError(f"{writer.client.server.base_url} gave no wording with {{a_label}}; {why}")
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


def _replies(writer: Writer, questions: Sequence[Messages]) -> Replies:
    """The replies to all questions. Raises LLMError if the budget does not cover them."""
    replies = writer.answer(questions)
    if replies.unasked:
        raise LLMError(
            f"the budget ended with {counted(replies.unasked, 'question')} left; answers are kept, "
            "run again with larger max_calls or max_tokens (--llm …,max_calls=N)"
        )
    return replies


def _lines(answer: Answer | None) -> list[str]:
    """The usable lines of an answer. One that broke off lacks the end of its last line."""
    if answer is None or answer.refused:
        return []
    lines = caption_lines(answer.spoken)
    whole = lines[:-1] if answer.cut else lines
    return list(dict.fromkeys(line for line in whole if not is_refusal(line)))


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
