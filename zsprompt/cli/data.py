"""The command line of data sets: list them, verify one, fetch one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zsprompt.cli.command import Command
from zsprompt.cli.help import SectionedGroup
from zsprompt.cli.options import Json, argument, option
from zsprompt.cli.session import named_lines, note, refusals
from zsprompt.errors import DataError, UnknownName

if TYPE_CHECKING:
    from zsprompt.data import Dataset
    from zsprompt.data.download.catalogue import CatalogueEntry
    from zsprompt.data.download.check import Report, SplitCheck
    from zsprompt.data.remarks import Remark
    from zsprompt.prompts.odd_labels import OddLabel

data_app = typer.Typer(
    cls=SectionedGroup, rich_markup_mode=None, no_args_is_help=True, help="List the data sets, check one, or fetch one."
)

_NAMED = 10  # entries that are named in text; --json names all

Name = Annotated[str, argument("A data set; see `zsprompt data list`.", "NAME")]
Root = Annotated[Path | None, option("Folder of the data set. [default: ZSPROMPT_DATA]")]


@data_app.command("list", cls=Command)
def list_(
    root: Annotated[
        Path | None, option("Where to look. [default: ZSPROMPT_DATA, else the user's data directory]")
    ] = None,
    json: Json = False,
) -> None:
    """List the data sets, their licences, and whether they are present."""
    with refusals():
        from zsprompt.data import available_datasets, data_folder

        where = root or data_folder()
        entries = [_entry(name, about, where) for name, about in available_datasets().items()]
        if json:
            typer.echo(_json({"root": str(where), "datasets": entries}))
            return
        typer.echo(named_lines([row for entry in entries for row in _entry_rows(entry)]))
        typer.echo(f"\nlooked for in {where}")


@data_app.command("check", cls=Command)
def check(
    name: Name,
    root: Root = None,
    split: Annotated[str | None, option("Only this split. [default: the splits that make up the data set]")] = None,
    quick: Annotated[bool, option("Do not read the images.", "--quick")] = False,
    json: Json = False,
) -> None:
    """Verify a data set against published counts.

    Counts images, and positives per label. Names images that are missing, unreadable, duplicated or in no split, and
    says what to do.
    """
    with refusals():
        from zsprompt._utils.progress import terminal
        from zsprompt.data import data_folder
        from zsprompt.data.download.catalogue import CATALOGUE
        from zsprompt.data.download.check import check as look_over

        known, where = CATALOGUE.get(name), root or data_folder()
        loaded, absent = _load_splits(name, root, split, known)
        report = look_over(
            loaded, root=where, entry=known, absent=absent, read=not quick, complete=split is None, progress=terminal
        )
        odd = _odd_labels(name, root, loaded)
        facts = _report_dict(report) | {"odd_labels": [_odd_dict(one) for one in odd]}
        typer.echo(_json(facts) if json else "\n".join((*_report_lines(report), *_odd_lines(odd))))
        for sentence in dict.fromkeys(sentence for data in loaded for sentence in data.notes):
            note(sentence)
        if absent:
            note(f"not present, so not checked: {', '.join(absent)}")
        if report.faults:
            raise DataError(
                f"expected {name} to be complete, found {'; '.join(report.faults)}. {_advice(report, known, root)}"
            )


@data_app.command("fetch", cls=Command)
def fetch(
    name: Name,
    root: Annotated[
        Path | None, option("Where to put it. [default: ZSPROMPT_DATA, else the user's data directory]")
    ] = None,
    split: Annotated[str | None, option("Only what this split needs. [default: all]")] = None,
    source: Annotated[
        str | None,
        option("A folder or https address with the archives. [default: the official one]", "--from"),
    ] = None,
    again: Annotated[bool, option("Fetch again even if it is present.", "--again")] = False,
) -> None:
    """Fetch a data set and unpack it.

    Archives come from their official addresses and are verified. An interrupted download resumes.
    """
    with refusals():
        from zsprompt._utils.progress import terminal
        from zsprompt.data import data_folder
        from zsprompt.data.download.fetch import fetch as fetch_archives

        known, where = _known(name), root or data_folder()
        if known.size:
            note(f"{known.title}: {known.about}. Licence: {known.licence}. See {known.home}")
            if known.unverified and source is None:
                note(f"not verified: {known.unverified}; what comes from them is checked by size and sha256")
        done = fetch_archives(known, where, split=split, again=again, source=source, progress=terminal)
        if not done:
            note("already present; --again fetches it again")
        typer.echo(f"{known.base(where) / known.top}: {name} {', '.join(known.unpacked_splits(where))}")


def _known(name: str) -> CatalogueEntry:
    from zsprompt.data import available_datasets
    from zsprompt.data.download.catalogue import CATALOGUE

    if name in CATALOGUE:
        return CATALOGUE[name]
    if name in available_datasets():
        raise DataError(f"data set {name} has nothing to fetch: {available_datasets()[name]}")
    raise UnknownName("data set", name, CATALOGUE)


def _entry(name: str, about: str, where: Path) -> dict[str, Any]:
    """One data set as JSON types."""
    from zsprompt.data.download.catalogue import CATALOGUE

    official = CATALOGUE.get(name)
    if official is None:
        return {"name": name, "about": about}
    return {
        "name": name,
        "about": f"{official.title}: {official.about}",
        "licence": official.licence,
        "home": official.home,
        "bytes": official.size or None,
        "here": official.is_at(where),
        "lists_here": list(official.unpacked_splits(where)),
        "to_get_it": official.how_to_get,
        "unverified": official.unverified,
    }


def _entry_rows(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield entry["name"], entry["about"]
    if "licence" in entry:
        yield "", entry["licence"]
        lists = ", ".join(entry["lists_here"])
        present = f"present: {lists}" if lists else "present"
        yield "", present if entry["here"] else f"not present: {entry['to_get_it']}"


def _load_splits(
    name: str, root: Path | None, split: str | None, official: CatalogueEntry | None
) -> tuple[list[Dataset], list[str]]:
    """The requested split, else all present splits, else the default; and the names of missing splits."""
    from zsprompt.data import data_folder, load_dataset

    load = partial(load_dataset, name, root=root, names="raw")
    whole = official.whole if official and not split else ()
    fetched = official.unpacked_splits(root or data_folder()) if official else ()
    loaded: list[Dataset] = []
    absent = [part for part in whole if fetched and part not in fetched]
    for part in whole:
        if part not in absent:
            try:
                loaded.append(load(split=part))
            except UnknownName:  # no such split
                absent.append(part)
    return loaded or [load(split=split)], absent


def _advice(report: Report, official: CatalogueEntry | None, root: Path | None) -> str:
    """What to do about the faults. Only an official data set is fetched; in a given folder it may be one's own."""
    if official is None or not report.incomplete:
        return f"To fix it: {'; '.join(report.remedies)}"
    where = f" --root {root}" if root else ""
    again = f"`zsprompt data fetch {official.name} --again{where}` downloads it again"
    by_hand = f"To get it: {official.manual}"
    own = f"; for images of your own use --dataset {official.own}" if root else ""
    states = "state with every result which images it was measured on"
    return f"{again if official.size else by_hand}{own}; or {states}"


def _report_dict(report: Report) -> dict[str, Any]:
    return {
        "name": report.name,
        "lists": [_split_dict(checked) for checked in report.splits],
        "not_checked": list(report.absent),
        "pictures": report.images,
        "read": report.read,
        "missing": [{"picture": name, "perhaps": similar or None} for name, similar in report.missing],
        "unreadable": [{"picture": name, "reason": reason} for name, reason in report.unreadable],
        "doubles": [{"pictures": list(group), "labels_differ": differ} for group, differ in report.duplicates],
        "in_no_list": None if report.unlisted is None else list(report.unlisted),
        "in_several_lists": list(report.shared),
        "labels_alike": [list(group) for group in report.similar_labels],
        "remarks": [_remark_dict(remark) for remark in report.remarks],
        "faults": report.faults,
    }


def _odd_labels(name: str, root: Path | None, loaded: Sequence[Dataset]) -> tuple[OddLabel, ...]:
    """Labels that look unlike names, as a run would use them: odd spellings of the files may have readable names."""
    from zsprompt.data import load_dataset
    from zsprompt.prompts.odd_labels import odd_labels

    places = {label: place for data in reversed(loaded) for label, place in data.places.items()}
    odd = odd_labels(loaded[0].labels, places)
    if not odd or loaded[0].origin is None:
        return odd
    readable = load_dataset(name, root=root, split=loaded[0].origin.split)
    return odd if readable.labels == loaded[0].labels else odd_labels(readable.labels, readable.places)


def _odd_lines(odd: Sequence[OddLabel]) -> Iterator[str]:
    from zsprompt.prompts.odd_labels import in_sentences
    from zsprompt.report import printable

    yield from map(printable, in_sentences(odd))


def _odd_dict(odd: OddLabel) -> dict[str, Any]:
    return {"label": odd.label, "place": odd.place or None, "looks_like": odd.rule.one, "perhaps": list(odd.meant)}


def _remark_dict(remark: Remark) -> dict[str, Any]:
    return {
        "kind": remark.kind,
        "guessed": remark.guessed,
        "count": remark.count,
        "groups": dict(remark.groups),
        "names": list(remark.names),
        "sentence": remark.sentence,
    }


def _split_dict(checked: SplitCheck) -> dict[str, Any]:
    return {
        "split": checked.split,
        "pictures": checked.images,
        "published": checked.published,
        "positives": dict(checked.positives),
        "published_positives": dict(checked.published_positives) or None,
        "left_out": dict(checked.left_out),
        "unlabelled": checked.unlabelled,
    }


def _report_lines(report: Report) -> Iterator[str]:
    from zsprompt._utils.text import counted
    from zsprompt.report import printable

    for checked in report.splits:
        yield from _split_lines(report.name, checked)
        yield ""
    done = "read" if report.read else "looked for"
    yield (
        f"{counted(report.images, 'image')} {done}: {len(report.missing):,} missing, "
        f"{len(report.unreadable):,} unreadable, {len(report.duplicates):,} duplicated"
        + ("" if report.unlisted is None else f"; {counted(len(report.unlisted), 'other image')} in no split")
    )
    yield from _named("missing", [f"{i} (perhaps {p})" if p else i for i, p in report.missing])
    yield from _named("unreadable", [f"{i}: {reason}" for i, reason in report.unreadable])
    yield from _named("same content", [_group(group, differ) for group, differ in report.duplicates])
    yield from _named("in no split", report.unlisted or ())
    yield from _named("in several splits", report.shared)
    yield from (printable(remark.sentence) for remark in report.remarks)


def _split_lines(name: str, checked: SplitCheck) -> Iterator[str]:
    from zsprompt._utils.text import counted
    from zsprompt.report.terminal import text_table

    published = f", published {checked.published:,}" if checked.published is not None else ""
    without = f", {checked.unlabelled:,} without any label" if checked.unlabelled else ""
    labels = counted(len(checked.positives), "label")
    yield f"{name} {checked.split}: {counted(checked.images, 'image')}{published}{without}; {labels}"
    yield text_table(*_label_rows(checked))


def _label_rows(checked: SplitCheck) -> tuple[list[str], list[list[str]]]:
    """Header and one row per label: positives, and published and left-out ones where there are any."""
    from zsprompt.report import printable

    expected, left_out = checked.published_positives, checked.left_out
    header = ["label", "positives", *["published"] * bool(expected), *["left out"] * bool(left_out)]
    rows = []
    for label, count in checked.positives.items():
        published = [str(expected.get(label, "–"))] if expected else []
        rows.append([printable(label), str(count), *published, *([str(left_out.get(label, 0))] if left_out else [])])
    return header, rows


def _group(group: Sequence[str], differ: bool) -> str:
    return ", ".join(group) + (" (their labels differ)" if differ else "")


def _named(what: str, entries: Sequence[str]) -> Iterator[str]:
    from zsprompt.report import printable

    for entry in entries[:_NAMED]:
        yield f"{what}: {printable(entry)}"
    if len(entries) > _NAMED:
        yield f"{what}: and {len(entries) - _NAMED:,} more; --json names all"


def _json(facts: dict[str, Any]) -> str:
    from zsprompt._utils.files import to_json

    return to_json(facts)
