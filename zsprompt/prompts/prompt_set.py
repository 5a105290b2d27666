"""PromptSet: texts for labels and label sets from a prompts/*.toml file."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypedDict

from zsprompt._utils.arguments import checked
from zsprompt._utils.files import read_fault, read_text
from zsprompt._utils.validate import Must, NonBlank, first_fault
from zsprompt.errors import PromptError, UnknownName
from zsprompt.prompts.articles import with_article

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LabelSet = tuple[str, ...]
"""The labels of one candidate; () means that no label is present."""

Phrasing = Callable[[Sequence[LabelSet]], list[str]]
"""Label sets -> one text per set, from a template file or an LLM."""

NEUTRAL = "neutral"
"""Name of the vocabulary of reference words."""

_NO_SETS = (NEUTRAL, "synonyms")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class SetWording:
    """Template of a label set: the items are joined and inserted into `text`."""

    text: str = "{labels}"
    item: str = "{label}"
    separator: str = ", "
    last: str = ", "
    nothing: NonBlank = "nothing"

    def render(self, labels: LabelSet) -> str:
        """One text for `labels` in the given order; `nothing` for the empty set."""
        if not labels:
            return self.nothing
        items = [_fill(self.item, label) for label in labels]
        joined = self.separator.join(items[:-1]) + self.last + items[-1] if len(items) > 1 else items[0]
        return self.text.replace("{labels}", joined)


class _File(TypedDict, total=False):
    about: str
    source: str
    label: Annotated[str | list[str], Must("a template or a list of templates")]
    labels: dict[str, Annotated[NonBlank | Annotated[list[NonBlank], Must("texts", bool)], Must("at least one text")]]
    absent: NonBlank
    set: SetWording


@dataclass(frozen=True)
class PromptSet:
    """One prompts/*.toml file. Its method `texts` is a Phrasing.

    `digest` identifies the texts in the provenance of a result. Read a prompt set with `load_prompts`.
    """

    name: str
    digest: str
    about: str = field(repr=False)
    source: str = field(repr=False)
    label_templates: tuple[str, ...] = field(default=(), repr=False)
    described: tuple[tuple[str, tuple[str, ...]], ...] = field(default=(), repr=False)  # (label, its texts)
    absent_template: str | None = field(default=None, repr=False)
    set_wording: SetWording | None = field(default=None, repr=False)

    def texts(self, label_sets: Sequence[LabelSet]) -> list[str]:
        """One text per label set, with its labels in the given order; () gives the "nothing" text.

        Raises:
            PromptError: the file has no [set] section.
        """
        if self.set_wording is None:
            raise PromptError(self._lacks("[set]", "list-all, top-all and compound", "bare"))
        return [self.set_wording.render(labels) for labels in label_sets]

    def absent(self, labels: Sequence[str]) -> list[str]:
        """The negative text of each label, for yes-or-no.

        Raises:
            PromptError: the file has no `absent`.
        """
        if self.absent_template is None:
            raise PromptError(self._lacks("'absent'", "yes-or-no", "seed-paper"))
        return [_fill(self.absent_template, label) for label in labels]

    def ensemble(self, labels: Sequence[str]) -> list[list[str]]:
        """One or more texts per label: its texts from [labels], else the filled `label` templates.

        Raises:
            PromptError: a label has no texts under [labels], and the file has no `label` template.
        """
        texts = dict(self.described)
        missing = [label for label in labels if label not in texts]
        if missing and not self.label_templates:
            if texts:
                raise PromptError(self._undescribed(missing))
            raise PromptError(self._lacks("'label'", "per-label and yes-or-no", "photo"))
        return [list(texts.get(label) or [_fill(t, label) for t in self.label_templates]) for label in labels]

    def undescribed(self, labels: Sequence[str]) -> list[str]:
        """The labels that a [labels] section does not list; they use the templates. Empty without that section."""
        texts = dict(self.described)
        return [label for label in labels if texts and label not in texts]

    def _undescribed(self, missing: Sequence[str]) -> str:
        named = ", ".join(repr(label) for label in missing[:5]) + (", …" if len(missing) > 5 else "")
        return (
            f"prompt set {self.name!r} has no texts for {named}; add texts for them under [labels], "
            "or a 'label' template for all other labels"
        )

    def _lacks(self, part: str, users: str, instead: str) -> str:
        return (
            f"prompt set {self.name!r} has no {part}, which {users} need; "
            f"add it to the file or use another set, such as --prompts {instead}"
        )


def prompts_folder() -> Path:
    """The folder of the shipped prompt sets: inside an installed wheel, or next to the package in a checkout.

    Raises:
        PromptError: the folder is missing, so the installation is broken.
    """
    package = Path(__file__).parent.parent
    for folder in (package / "_prompts", package.parent / "prompts"):
        if (folder / "photo.toml").is_file():
            return folder
    raise PromptError(f"expected the shipped prompt sets in {package / '_prompts'}, found none: install zsprompt again")


def available_prompts() -> list[str]:
    """Names of the shipped prompt sets, sorted."""
    return sorted(path.stem for path in prompts_folder().glob("*.toml") if path.stem not in _NO_SETS)


@checked
def load_prompts(name: str | Path) -> PromptSet:
    """Load a shipped prompt set by name, or your own by path (a path has a separator or ends in .toml).

    Raises:
        UnknownName: there is no shipped set of that name.
        PromptError: the file is missing, is not valid TOML, lacks a placeholder or has an unknown key.
    """
    text = str(name)
    if isinstance(name, Path) or "/" in text or "\\" in text or text.endswith(".toml"):
        path = Path(name)
    elif text in available_prompts():
        path = prompts_folder() / f"{text}.toml"
    else:
        raise UnknownName("prompt set", text, available_prompts())
    return _parse(path.stem, path, _read(path))


@cache
def neutral_words() -> tuple[str, ...]:
    """The vocabulary of reference words (prompts/neutral.toml)."""
    path = prompts_folder() / f"{NEUTRAL}.toml"
    words = parse_toml(path, _read(path)).get("words", [])
    return tuple(str(word) for word in words)


def _read(path: Path) -> str:
    try:
        return read_text(path)
    except FileNotFoundError:
        raise PromptError(f"expected a prompt file at {path}, found none") from None
    except (OSError, ValueError) as error:
        raise PromptError(f"cannot read prompt file {path}: {read_fault(path, error)}") from None


def parse_toml(path: Path, text: str) -> dict[str, Any]:
    """Parse the text of the TOML file `path`. Raises PromptError if it is not valid."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PromptError(f"{path}: not valid TOML: {error}") from None


def _parse(name: str, path: Path, text: str) -> PromptSet:
    check = _Checker(path, text)
    data = parse_toml(path, text)
    if fault := first_fault(data, _File):
        raise check.fail(fault.path, str(fault))
    templates = _texts(data.get("label", []))
    check.placeholders(["label"], templates, need={"label", "a_label"}, may={"label", "a_label"})
    described = tuple((label, _texts(texts)) for label, texts in data.get("labels", {}).items())
    absent = data.get("absent")
    check.placeholders(["absent"], _texts(absent or []), need=set(), may={"label", "a_label"})
    wording = check.wording(data["set"]) if "set" in data else None
    if not templates and not described and absent is None and wording is None:
        raise PromptError(f"{path}: expected at least one of 'label', [labels], 'absent' and [set], found none")
    content = (templates, absent, wording, described) if described else (templates, absent, wording)
    return PromptSet(
        name=name,
        digest=hashlib.sha256(repr(content).encode()).hexdigest()[:12],
        about=data.get("about", ""),
        source=data.get("source", ""),
        label_templates=templates,
        described=described,
        absent_template=absent,
        set_wording=wording,
    )


def _texts(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


@dataclass(frozen=True)
class _Checker:
    """Checks the placeholders of a file. Errors name the line."""

    path: Path
    text: str

    def fail(self, place: Sequence[str | int], message: str, *, value: str | None = None) -> PromptError:
        keys = [re.escape(key) for key in place if isinstance(key, str)]
        sought = [rf"(^|[\[{{,.])\s*[\"']?{key}[\"']?\s*[=\].]" for key in keys]
        if value is not None:
            sought.append(rf"[\"']{re.escape(value)}[\"']")
        line = None
        for pattern in sought:  # each search starts at the previous match, because two sections may share a key
            rows = enumerate(self.text.split("\n"), 1)
            line = next((n for n, row in rows if n >= (line or 1) and re.search(pattern, row)), line)
        return PromptError(f"{self.path}{f', line {line}' if line else ''}: {message}")

    def placeholders(self, place: Sequence[str], templates: Sequence[str], *, need: set[str], may: set[str]) -> None:
        listed = " or ".join(f"{{{p}}}" for p in sorted(may, reverse=True)) or "none"
        for template in templates:
            used = set(_PLACEHOLDER.findall(template))
            problem = f"unknown placeholder {f'{{{min(used - may)}}}'!r}" if used - may else "missing placeholder"
            if used - may or (need and not used & need):
                raise self.fail(place, f"{problem} in {place[-1]!r}: {template!r}; expected {listed}", value=template)

    def wording(self, data: Mapping[str, str]) -> SetWording:
        last = data.get("last", data.get("separator", SetWording.last))
        wording = SetWording(**{**data, "last": last})
        self.placeholders(["set", "text"], [wording.text], need={"labels"}, may={"labels"})
        self.placeholders(["set", "item"], [wording.item], need={"label", "a_label"}, may={"label", "a_label"})
        for key, text in (("separator", wording.separator), ("last", wording.last), ("nothing", wording.nothing)):
            self.placeholders(["set", key], [text], need=set(), may=set())
        return wording


def _fill(template: str, label: str) -> str:
    # not str.format, nor one replace after the other: a label may contain braces, even "{label}"
    parts = [part.replace("{label}", label) for part in template.split("{a_label}")]
    return with_article(label).join(parts) if len(parts) > 1 else parts[0]
