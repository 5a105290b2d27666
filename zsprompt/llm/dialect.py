"""What one server wants otherwise: parameters to drop, rename or add, found out from its refusals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zsprompt.llm.responses import Problem


@dataclass(frozen=True)
class Change:
    """A change of a request that a refusal asks for.

    Attributes:
        names: a parameter that was sent, and that the refusal names; "" if `says` decides.
        says: a pattern in the refusal.
        lacks: parameters that a request with this change in place would have; a second refusal is then of no use.
        drops: parameters to leave out.
        renames: (old, new) name of a parameter.
        adds: parameters to send.
    """

    names: str = ""
    says: str = ""
    lacks: tuple[str, ...] = ()
    drops: tuple[str, ...] = ()
    renames: tuple[str, str] | None = None
    adds: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def answers(self, sent: Mapping[str, Any], problem: Problem) -> bool:
        """Whether the refusal of `sent` asks for this change."""
        if self.names:
            named = self.names in problem.parameters or re.search(rf"\b{self.names}\b", problem.message)
            return self.names in sent and bool(named)
        return not set(self.lacks) & set(sent) and bool(re.search(self.says, problem.message, re.I | re.S))

    def applied(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """`body` with this change."""
        old, new = self.renames or ("", "")
        kept = {new if name == old else name: value for name, value in body.items() if name not in self.drops}
        return kept | dict(self.adds)


_THINKS = r"enable.?thinking.{0,60}(false|stream)"
_STREAMS = rf"{_THINKS}|only supports? stream|stream mode|stream.{{0,10}}(must be|to) .?true|only .{{0,20}}streaming"

# The first that fits is made. Some Qwen models refuse thinking without a stream; those that always think want a stream.
CHANGES = (
    Change(says=_THINKS, lacks=("enable_thinking", "stream"), adds={"enable_thinking": False}),
    Change(
        says=_STREAMS,
        lacks=("stream",),
        drops=("enable_thinking",),
        adds={"stream": True, "stream_options": {"include_usage": True}},
    ),
    Change("stream_options", drops=("stream_options",)),
    Change("max_tokens", renames=("max_tokens", "max_completion_tokens")),
    Change("max_completion_tokens", drops=("max_completion_tokens",)),
    Change("temperature", drops=("temperature",)),
    Change("enable_thinking", drops=("enable_thinking",)),
)


_UNKNOWN = r"un(supported|known|recogni[sz]ed|expected)|not (supported|permitted|allowed)|extra.(inputs|forbidden)"
_TOO_LARGE = r"too (large|long|high|big)"


def names_an_unknown(problem: Problem) -> bool:
    """Whether a refusal is about a parameter that the server does not know."""
    return bool(re.search(_UNKNOWN, problem.message, re.I))


class Dialect:
    """The changes that one server has asked for so far."""

    def __init__(self) -> None:
        self._changes: list[Change] = []

    def worded(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """`body` with all changes."""
        for change in self._changes:
            body = change.applied(body)
        return dict(body)

    def learn(self, body: Mapping[str, Any], sent: Mapping[str, Any], problem: Problem) -> bool:
        """Whether to send `body` again after the refusal of `sent`, with a change.

        The change may be known already, from a request that was sent at the same time. A value that is too large for
        one item asks for none.
        """
        if re.search(_TOO_LARGE, problem.message, re.I):
            return False
        for change in CHANGES:
            if change.answers(sent, problem) and change not in self._changes:
                self._changes.append(change)
                return True
        return self.worded(body) != sent
