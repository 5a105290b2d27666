"""Sentence banks: the sentences of a text file that mention a label, as texts for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from zsprompt._utils.arguments import checked
from zsprompt._utils.files import unreadable
from zsprompt.errors import PromptError
from zsprompt.llm.checks import mentioned_labels

_MOST_WORDS = 40  # CLIP's context has 77 tokens; a word of captions is rarely more than 1.5


@checked
def load_sentences(path: Path) -> Iterator[str]:
    """The sentences of a text file, one per line, read as they are used. Blank lines are left out.

    Raises:
        PromptError: the file is missing, or is not UTF-8.
    """
    if not path.is_file():
        raise PromptError(f"expected a text file with a sentence per line at {path}, found none")
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from filter(None, map(str.strip, file))
    except (OSError, ValueError) as error:
        raise PromptError(unreadable(path, error)) from None


def about_labels(sentences: Iterable[str], labels: Sequence[str], count: int) -> dict[str, list[str]]:
    """At most `count` sentences per label that mention it, and no other label; none where the bank has none.

    A sentence mentions a label by its name, a plural or a synonym. If there are more than `count`, they are chosen
    evenly over the bank. Sentences of more than 40 words are left out, because few fit CLIP's context.

    Source: Class Concept Representation from Contextual Texts for Training-Free Multi-Label Recognition
    (openreview.net/forum?id=up0qqbdeQu), where the bank is COCO's captions.
    """
    texts: dict[str, dict[str, None]] = {label: {} for label in labels}
    for sentence in sentences:
        if len(sentence.split()) > _MOST_WORDS:
            continue
        names = mentioned_labels(sentence, (), tuple(labels))
        if len(names) == 1:
            texts[names.pop()][sentence] = None
    return {label: _spread(list(every), count) for label, every in texts.items()}


def _spread(texts: list[str], count: int) -> list[str]:
    if len(texts) <= count:
        return texts
    return [texts[place * len(texts) // count] for place in range(count)]
