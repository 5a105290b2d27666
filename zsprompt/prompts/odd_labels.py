"""Labels that do not look like names: how they look, what was probably meant, and what to do."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from zsprompt._utils.text import quoted

_NAMED = 3  # labels in a warning


@dataclass(frozen=True)
class Words:
    """The labels of a set as their rules see them.

    Attributes:
        labels: all C labels.
    """

    labels: tuple[str, ...]

    @cached_property
    def known(self) -> dict[str, str]:
        """Lower case -> the label."""
        return {_low(label): label for label in self.labels}

    @cached_property
    def spellings(self) -> dict[str, str]:
        """Letters without blanks, hyphens and underscores -> the first label of that spelling."""
        first: dict[str, str] = {}
        for label in self.labels:
            first.setdefault(_letters(label), label)
        return first

    @cached_property
    def orders(self) -> Counter[tuple[str, ...]]:
        """How many labels have the same words, in any order."""
        return Counter(tuple(sorted(low.split())) for low in self.known)

    @cached_property
    def parts(self) -> Mapping[str, Counter[str]]:
        """Separator -> in how many labels a part occurs."""
        return {
            mark: Counter(part for label in self.labels if mark in label for part in set(_parts(_low(label), mark)))
            for mark in _MARKS
        }

    @cached_property
    def recurring(self) -> frozenset[str]:
        """Words that occur in two labels of several words or more, if most such labels consist of them alone.

        And if one begins a label and ends another. In names they keep their place: "red car", "red bus".
        """
        several = [low.split() for low in self.known if " " in low]
        number = Counter(word for words in several for word in set(words))
        recurring = frozenset(word for word, labels in number.items() if labels > 1)
        moving = {words[0] for words in several} & {words[-1] for words in several}
        most = sum(recurring.issuperset(words) for words in several) > len(several) / 2
        return recurring if moving and most else frozenset()

    @cached_property
    def listed_by_blanks(self) -> bool:
        """Whether most labels of several words consist of other labels, as names do not.

        One of them has three parts, or a part begins one label and ends another. "fire truck" and "fire hydrant" next
        to "fire", "truck" and "hydrant" are names.
        """
        several = [self.split(label) for label in self.labels if " " in label]
        joined = [parts for parts in several if len(parts) > 1]
        moving = {parts[0] for parts in joined} & {parts[-1] for parts in joined}
        return len(joined) >= max(len(several) / 2, 1) and bool(moving or max(map(len, joined)) > 2)

    def split(self, label: str) -> tuple[str, ...]:
        """The other labels that `label` consists of, one after the other; empty if it does not."""
        words = _low(label).split()
        ways: list[tuple[str, ...] | None] = [()] + [None] * len(words)
        for end in range(1, len(words) + 1):
            for start in range(end):
                piece = self.known.get(" ".join(words[start:end]))
                if (before := ways[start]) is not None and piece is not None and end - start < len(words):
                    ways[end] = (*before, piece)
                    break
        return ways[-1] or ()


@dataclass(frozen=True)
class OddRule:
    """One way in which a label looks unlike a name.

    Attributes:
        name: short name of the rule.
        one: what such a label looks like ("a missing value").
        many: what several look like ("missing values").
        meant: what was probably meant by a label among others: names, () if that is unknown, None if the rule does
            not apply.
        remedy: what to do.
        in_shards: what else to do about labels of a tar file.
    """

    name: str
    one: str
    many: str
    meant: Callable[[str, Words], tuple[str, ...] | None]
    remedy: str
    in_shards: str = ""


@dataclass(frozen=True)
class OddLabel:
    """A label that looks unlike a name.

    Attributes:
        label: the label.
        rule: how it looks.
        meant: the names that were probably meant; empty if unknown.
        place: file and line where it was first met; "" if unknown.
    """

    label: str
    rule: OddRule
    meant: tuple[str, ...] = ()
    place: str = ""


def odd_labels(labels: Sequence[str], places: Mapping[str, str] | None = None) -> tuple[OddLabel, ...]:
    """The labels that look unlike names, in their order; the first rule of ODD_RULES that applies counts.

    Args:
        labels: C labels.
        places: label -> file and line, where known.
    """
    words, where = Words(tuple(labels)), places or {}
    found = []
    for label in labels:
        applying = ((rule, meant) for rule in ODD_RULES if (meant := rule.meant(label, words)) is not None)
        for rule, meant in islice(applying, 1):
            found.append(OddLabel(label, rule, tuple(filter(None, meant)), where.get(label, "")))
    return tuple(found)


def label_warnings(labels: Sequence[str], places: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """One sentence per rule that applies to some of `labels`: the first labels, a guess of what was meant, a remedy."""
    return in_sentences(odd_labels(labels, places))


def in_sentences(found: Sequence[OddLabel]) -> tuple[str, ...]:
    """One sentence per rule."""
    by_rule = [[odd for odd in found if odd.rule is rule] for rule in ODD_RULES]
    return tuple(_sentence(odd) for odd in by_rule if odd)


def _sentence(odd: Sequence[OddLabel]) -> str:
    rule, more = odd[0].rule, f" and {len(odd) - _NAMED:,} more" if len(odd) > _NAMED else ""
    remedy = rule.remedy
    if rule.in_shards and any(".tar" in one.place for one in odd):
        remedy += f", {rule.in_shards}"
    entries = ", ".join(_entry(one) for one in odd[:_NAMED]) + more
    if len(odd) == 1:
        return f"label {entries} looks like {rule.one}; {remedy}"
    return f"labels {entries} look like {rule.many}; {remedy}"


def _entry(odd: OddLabel) -> str:
    guess = f"perhaps {' and '.join(map(quoted, odd.meant))}" if odd.meant else ""
    known = "; ".join(filter(None, (odd.place, guess)))
    return quoted(odd.label) + (f" ({known})" if known else "")


def _low(label: str) -> str:
    return " ".join(label.casefold().split())


def _letters(label: str) -> str:
    return re.sub(r"[\s_-]+", "", label).casefold()


def _parts(label: str, mark: str) -> list[str]:
    return [part.strip() for part in label.split(mark)]


# -- the rules


def _one_of(*names: str) -> Callable[[str, Words], tuple[str, ...] | None]:
    return lambda label, words: () if _low(label) in names else None


def _like(pattern: str) -> Callable[[str, Words], tuple[str, ...] | None]:
    """Labels that match `pattern`; its group, if there is one, was meant."""
    compiled = re.compile(pattern, re.IGNORECASE)

    def meant(label: str, words: Words) -> tuple[str, ...] | None:
        match = compiled.search(label.strip())
        return None if match is None else tuple(group.strip() for group in match.groups() if group)

    return meant


_UNREADABLE = re.compile("[\ufffd\x80-\x9f]|ï¿½|[^\\W\\d_]\\?[^\\W\\d_]")
_INVISIBLE = re.compile("[\x00-\x1f\x7f\u00a0\u00ad\u200b-\u200f\u2028-\u202e\u2060\ufeff]")


def _wrong_encoding(label: str, words: Words) -> tuple[str, ...] | None:
    """UTF-8 that was read as Windows-1252 or Latin-1, and characters that were lost."""
    for encoding in ("cp1252", "latin-1"):
        try:
            meant = label.encode(encoding).decode()
        except UnicodeError:
            continue
        if meant != label:
            return (meant,)
    return () if _UNREADABLE.search(label) else None


def _invisible(label: str, words: Words) -> tuple[str, ...] | None:
    return (" ".join(_INVISIBLE.sub(" ", label).split()),) if _INVISIBLE.search(label) else None


_MISSING = _one_of("nan", "none", "null", "nil", "n/a", "na", "#n/a", "<na>", "nat", "undefined", "(blank)", "(none)")


def _missing(label: str, words: Words) -> tuple[str, ...] | None:
    """Words and marks that programs write for an empty cell."""
    if label == "Na":  # sodium
        return None
    return () if re.fullmatch(r"[!-/:-@\[-`{-~\s]+", label) else _MISSING(label, words)


_FILE_SUFFIXES = (
    "jpe?g|png|gif|bmp|webp|tiff?|heic|avif|txt|csv|tsv|json|jsonl|xml|npy|npz|ya?ml|mp4|zip|tar|pdf|parquet"
)
_PATH = re.compile(rf"\.({_FILE_SUFFIXES})$|\\|^[.~]{{0,2}}/|^[a-z]:/|://|/.*/", re.IGNORECASE)


def _file(label: str, words: Words) -> tuple[str, ...] | None:
    """File names, paths and addresses; the folder was meant where a file is in one."""
    if not _PATH.search(label) or sum(_low(part) in words.known for part in label.split("/")) > 1:
        return None
    parts = [part for part in re.split(r"[\\/]+", label) if part not in ("", ".", "..", "~")]
    if len(parts) > 1 and re.search(r"\.\w+$", parts[-1]):
        return (parts[-2].replace("_", " "),)
    return (re.sub(rf"\.({_FILE_SUFFIXES})$", "", parts[-1], flags=re.IGNORECASE).replace("_", " "),) if parts else ()


_TAG = re.compile(r"&(?:[a-z]+|#\d+);|</?[a-z][^<>]*>", re.IGNORECASE)


def _markup(label: str, words: Words) -> tuple[str, ...] | None:
    if not _TAG.search(label):
        return None
    return (" ".join(html.unescape(re.sub(r"</?[a-z][^<>]*>", " ", label, flags=re.IGNORECASE)).split()),)


_AROUND = "\"'`“”‘’«»[]{}<>,;:*•#@=_\\ "
_OPENING, _CLOSING = re.compile(r"^[\"'`“‘«\[{<,;:*•#@=_-]"), re.compile(r"[\"`”»\]}>,;:=_-]$|^\W.*['’]$")


def _left_over(label: str, words: Words) -> tuple[str, ...] | None:
    """Quotes, brackets and separators at the ends, as when a written list was split at its commas."""
    around = _AROUND + "-" + ("()" if label.count("(") != label.count(")") or re.match(r"\(.*\)$", label) else "")
    if _OPENING.search(label) or _CLOSING.search(label) or "(" in around:
        return (label.strip(around),)
    return None


_MARKS = ("|", ";", "\t", "/", ",", "&", "+", " and ")
_ALWAYS = ("|", ";", "\t")  # marks that no name contains
_IN_NAMES = ("&", "+", " and ")


def _several_names(label: str, words: Words) -> tuple[str, ...] | None:
    """Names joined by a mark or by blanks. Other marks count only if the parts are labels too, or recur."""
    for mark in _MARKS:
        parts = [part for part in _parts(label, mark) if part]
        if len(parts) < 2:
            continue
        lows = [_low(part) for part in parts]
        unknown = [low for low in lows if low not in words.known and words.parts[mark][low] < 2]
        alone = mark in _IN_NAMES and sum(mark in other for other in words.labels) < 2  # "bread and butter"
        if mark in _ALWAYS or (len(unknown) <= (len(parts) > 2) and not alone):
            return tuple(parts)
    names = words.split(label)
    if names and words.listed_by_blanks:
        return names
    pieces, lows = label.split(), _low(label).split()
    listed = words.orders[tuple(sorted(lows))] > 1 or words.recurring.issuperset(lows)
    return tuple(pieces) if len(pieces) > 1 and listed else None


def _sentence_like(label: str, words: Words) -> tuple[str, ...] | None:
    count, listed = len(label.split()), all(len(part.split()) < 5 for part in label.split(","))
    long = (count > 9 or len(label) > 80) and not listed
    return () if long or (count > 3 and label.rstrip()[-1:] in ".!?") else None


def _split_names(label: str, words: Words) -> tuple[str, ...] | None:
    """Folders of splits; "train" alone is a vehicle."""
    names = {"train", "test", "val", "valid", "validation", "trainval", "testing", "training"}
    return () if _low(label) in names and len(names & words.known.keys()) > 1 else None


_PLURAL_ONLY = r"(glasses|scissors|pants|trousers|shorts|jeans|goggles|pliers|clothes|arms)$"  # not of "glass"


def _two_spellings(label: str, words: Words) -> tuple[str, ...] | None:
    """Labels that differ from another one in a plural, blanks, hyphens or underscores only."""
    first = words.spellings[_letters(label)]
    if first != label:
        return (first,)
    low = _low(label)
    if re.search(_PLURAL_ONLY, low):
        return None
    single = (low[:-1], low[:-2] if re.search(r"(s|x|z|ch|sh)es$", low) else "", low[:-3] + "y")
    ending = (low.endswith("s") and not low.endswith("ss"), low.endswith("es"), low.endswith("ies"))
    found = (words.known.get(word) for word, fits in zip(single, ending, strict=True) if fits and len(word) > 2)
    other = next(filter(None, found), None)
    return None if other is None else (other,)


_NUMBER = r"[+-]?\d+([.,]\d+)?(e[+-]?\d+)?"

ODD_RULES = (
    OddRule("encoding", "text in a wrong encoding", "text in a wrong encoding", _wrong_encoding, "save it as UTF-8"),
    OddRule(
        "invisible",
        "a name with invisible characters",
        "names with invisible characters",
        _invisible,
        "remove or replace them",
    ),
    OddRule("missing", "a missing value", "missing values", _missing, "leave the cell empty"),
    OddRule(
        "flag",
        "a flag, not a name",
        "flags, not names",
        _one_of("true", "false", "yes", "no"),
        "name one label per column, with 1 and 0 below it",
    ),
    OddRule(
        "spreadsheet",
        "a spreadsheet error",
        "spreadsheet errors",
        _like(r"^(?:#(?:REF|NAME\?|VALUE|DIV/0|NUM|NULL|SPILL|CALC)!?|=.*)$"),
        "correct the cell",
    ),
    OddRule(
        "date", "a date", "dates", _like(r"^(?:\d{4}-\d\d-\d\d.*|\d{1,2}[./]\d{1,2}[./]\d{2,4})$"), "use another column"
    ),
    OddRule(
        "number",
        "a class number",
        "class numbers",
        _like(rf"^(?:{_NUMBER.replace('(', '(?:')})(?:[\s,;]+(?:{_NUMBER.replace('(', '(?:')}))*$"),
        "use the names of the classes",
        in_shards="one per line in classnames.txt next to the shards",
    ),
    OddRule(
        "index-column",
        "an index column of pandas",
        "index columns of pandas",
        _like(r"^unnamed: ?\d+(?:_level_\d+)?$"),
        "remove the column, or write with index=False",
    ),
    OddRule(
        "wordnet",
        "a WordNet id",
        "WordNet ids",
        _like(r"^n\d{8}$"),
        'translate it in classes.txt, a line each: "n02084071 dog"',
    ),
    OddRule(
        "open-images",
        "an id of Open Images",
        "ids of Open Images",
        _like(r"^/[mgt]/[\w-]+$"),
        "use the names of the ids",
    ),
    OddRule(
        "numbered",
        "a class without a name",
        "classes without names",
        _like(r"^(?:class|label|category|cls|cat|id|target)[ _-]?\d+$"),
        "use the names of the classes",
    ),
    OddRule(
        "id",
        "an id",
        "ids",
        _like(r"^(?=.*\d)[0-9a-f]{16,}$|^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$"),
        "use names",
    ),
    OddRule("escape", "an escaped text", "escaped texts", _like(r"\\(?:u[0-9a-f]{4}|x[0-9a-f]{2})"), "decode it first"),
    OddRule("file", "a file name or an address", "file names or addresses", _file, "use the column with the labels"),
    OddRule(
        "header",
        "a column's name",
        "names of columns",
        _one_of(
            *("label", "labels", "classname", "class_name", "class name", "class id", "class_id", "category_name"),
            *("category_id", "image_id", "imageid", "image_name", "image_path", "filename", "file_name", "filepath"),
        ),
        "remove the second header, or name one column 'labels'",
    ),
    OddRule(
        "split",
        "the folder of a split",
        "folders of splits",
        _split_names,
        "pass the folder of one split with --root, or name it with --split",
    ),
    OddRule(
        "folder",
        "a folder of a data set",
        "folders of a data set",
        _one_of(
            *("jpegimages", "annotations", "imagesets", "segmentationclass", "segmentationobject", "images", "imgs"),
            "__pycache__",
        ),
        "choose the folder or data set that fits the layout",
    ),
    OddRule("markup", "HTML", "HTML", _markup, "replace it by plain text"),
    OddRule(
        "score",
        "a name with a score",
        "names with scores",
        _like(r"^(.*[^\W\d_].*?)[:=\s]+[01]?\.\d+$"),
        "keep the name only",
    ),
    OddRule(
        "placeholder",
        "a placeholder",
        "placeholders",
        _one_of("__background__", "unlabeled", "unlabelled", "unannotated", "void", "dontcare", "don't care", "todo"),
        "leave it out with --without",
    ),
    OddRule(
        "left-over",
        "a name with quotes, brackets or separators left over",
        "names with quotes, brackets or separators left over",
        _left_over,
        "write names alone, separated by |, ; or ,",
    ),
    OddRule(
        "listed",
        "a numbered name",
        "numbered names",
        _like(r"^\d+ ?[:.)=]\s*([^\W\d_].*)$"),
        "keep the name only",
    ),
    OddRule(
        "several",
        "several names",
        "several names each",
        _several_names,
        "separate names by |, ; or , (the same in the whole column)",
    ),
    OddRule(
        "prompt",
        "a prompt, not a name",
        "prompts, not names",
        _like(r"^(?:an? |the )?(?:photo|picture|image|photograph|drawing) of (?:an? |the )?(.+)$"),
        "give the name alone; --prompts chooses the words around it",
    ),
    OddRule(
        "sentence",
        "a sentence, not a name",
        "sentences, not names",
        _sentence_like,
        "use the column with names",
    ),
    OddRule(
        "spelling",
        "another label in another spelling",
        "other labels in another spelling",
        _two_spellings,
        "if they mean the same, use one spelling",
    ),
    OddRule(
        "underscores",
        "a name with underscores",
        "names with underscores",
        lambda label, words: (label.replace("_", " "),) if "_" in label else None,
        "use blanks, as prompts contain the label as it is",
    ),
)
"""How labels look unlike names, the surest rule first."""
