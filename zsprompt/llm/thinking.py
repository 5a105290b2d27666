"""What a model says, apart from what it thinks: thinking in tags, in channels, or where the answer should be."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TAGS = "(?:think|thinking|thought|thoughts|reasoning|analysis|seed:think)"


@dataclass(frozen=True)
class _Thought:
    """The marks around thinking. After a start without an end, everything is thinking.

    Attributes:
        start, end: patterns.
        end_alone: whether everything before an end without a start is thinking.
    """

    start: str
    end: str
    end_alone: bool = True

    def without(self, text: str) -> str:
        """`text` without such thinking."""
        kept: list[str] = []
        inside = False
        at = 0
        for mark in re.finditer(f"(?P<start>{self.start})|{self.end}", text, re.I):
            if not inside:
                kept.append(text[at : mark.start()])
            if not inside and not mark["start"] and self.end_alone:
                kept.clear()
            inside = bool(mark["start"])
            at = mark.end()
        return "".join(kept) + ("" if inside else text[at:])


_THOUGHTS = (
    _Thought(f"<{_TAGS}>", f"</{_TAGS}>"),
    _Thought("◁think▷", "◁/think▷"),
    _Thought(r"\[THINK\]", r"\[/THINK\]"),
    _Thought(r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    _Thought(r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    _Thought(r"<\|channel>thought", r"<channel\|>"),
    _Thought(r"<\|channel\|>(?:analysis|commentary)", r"<\|(?:end|call|return)\|>", end_alone=False),
)
# The start of the answer itself; what stands before it is thinking. Some servers drop the marks around the names.
_FINAL = re.compile(r"<\|channel\|>final[^<]*<\|message\|>|^analysis.*?assistantfinal", re.S)
_MARKS = re.compile(
    r"<\|(?:start|end|message|channel|return|call|begin_of_box|end_of_box|START_RESPONSE|END_RESPONSE"
    r"|begin_of_solution|end_of_solution|im_end|eot_id|endoftext)\|>(?:assistant\b)?|</?(?:answer|response|output)>",
    re.I,
)
_ALOUD = re.compile(
    r"\W*(okay|ok|alright|hmm|first|let me|let's|the user|we (need|have|are|should)|i (need|have|should|will)|so,"
    r"|thinking|got it|to answer|wait)\b",
    re.I,
)


def spoken(text: str) -> str:
    """`text` without thinking and without the marks of a model's format."""
    if finals := list(_FINAL.finditer(text)):
        text = text[finals[-1].end() :]
    for thought in _THOUGHTS:
        text = thought.without(text)
    return _MARKS.sub("", text).strip()


def misplaced_answer(reasoning: str) -> str:
    """The answer, if a server put it where thinking belongs; "" if `reasoning` is thinking.

    Some servers do so for a model that did not think. Thinking has paragraphs, or begins by talking about the question.
    """
    text = spoken(reasoning)
    return "" if "\n\n" in text or _ALOUD.match(text) else text
