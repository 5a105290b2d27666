"""A reproduction as a table for a terminal and for papers: published columns, then ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import fill

import numpy as np

from zsprompt._utils import file_kinds
from zsprompt._utils.file_kinds import FileKind
from zsprompt._utils.outputs import check_folder, new_folder, write_json, write_text
from zsprompt.experiments.reproduction.outcome import COUNTS, Reproduction
from zsprompt.report.terminal import printable, text_table

_NONE = "–"
_Column = tuple[str, str, str]  # "published" or ours, column, metric


def terminal_table(done: Reproduction) -> str:
    """A table in percent, published numbers left of ours, with failures and notes below."""
    head, body = _cells(done)
    header = ["\n".join(parts) for parts in zip(*head, strict=True)]
    return "\n".join(
        [
            *(f"{done.table.name}: {done.table.about}", f"source: {done.table.source}", ""),
            *(text_table(header, body), ""),
            *_failures(done),
            *(fill(line, 110, break_on_hyphens=False) for line in _legend(done)),
        ]
    )


def markdown(done: Reproduction) -> str:
    """The same in Markdown."""
    head, body = _cells(done)
    header = [" ".join(dict.fromkeys(filter(None, parts))) for parts in zip(*head, strict=True)]
    rows = [header, ["---", *["---:"] * (len(header) - 1)], *body]
    table = "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows)
    about = f"{done.table.name}: {done.table.about} Source: {done.table.source}."
    return "\n".join([about, "", table, *(f"{line}\n" for line in (*_failures(done), *_legend(done)))])


def output_files(table: str) -> dict[str, FileKind]:
    """The files that `save` writes for the table of this name."""
    return {f"{table}.md": file_kinds.REPRODUCTION_MARKDOWN, f"{table}.json": file_kinds.REPRODUCTION}


def save(done: Reproduction, folder: Path, *, force: bool = False) -> None:
    """Write the table as NAME.md and NAME.json.

    Args:
        done: the reproduction.
        folder: the folder; an earlier table of that name in it is replaced.
        force: also replace files of these names that zsprompt did not write.

    Raises:
        OutputError: one of these files is not such a table, or the folder cannot be written.
    """
    name, kind = done.table.name, file_kinds.REPRODUCTION_MARKDOWN
    check_folder(folder, output_files(name), force=force)
    with new_folder(folder):
        write_text(folder / f"{name}.md", kind, f"{kind.mark}\n\n{markdown(done)}", force=force)
        write_json(folder / f"{name}.json", file_kinds.REPRODUCTION, done.to_dict(), force=force)


def _cells(done: Reproduction) -> tuple[list[list[str]], list[list[str]]]:
    """Three lines of header (side, column, metric), and one line per row of the table."""
    table = done.table
    ours = "ours" if done.on == "real" else "ours on scenes"
    columns: list[_Column] = [("published", c, m) for c in table.published_columns for m in table.metrics]
    columns += [(ours, c, m) for c in table.columns_on(done.on) for m in table.metrics]
    columns = [column for column in columns if column[0] == ours or _is_published(done, *column[1:])]
    head = [["", *parts] for parts in zip(*columns, strict=True)]
    head[0] = _without_repeats(head[0])
    head[1] = _without_repeats(head[1], within=head[0])
    body = [[printable(row.name), *(_cell(done, n, *column) for column in columns)] for n, row in enumerate(table.rows)]
    return head, body


def _without_repeats(cells: list[str], within: Sequence[str] = ()) -> list[str]:
    """Keep a header that spans several columns over the first of them only."""
    kept = []
    for c, cell in enumerate(cells):
        same = c > 0 and cell == cells[c - 1] and not (within and within[c])
        kept.append("" if same else cell)
    return kept


def _is_published(done: Reproduction, column: str, metric: str) -> bool:
    return any((column, metric) in row.published for row in done.table.rows)


def _cell(done: Reproduction, number: int, side: str, column: str, metric: str) -> str:
    row = done.table.rows[number]
    if side == "published":
        value = row.published.get((column, metric))
        return _NONE if value is None else f"{value:,.{_places(done, metric)}f}"
    cell = done.cell(number, column)
    if cell is None:
        return _NONE
    if cell.error:
        return "failed"
    values = cell.values(row.label, metric)
    if not values:
        return _NONE
    if metric in COUNTS:
        return f"{np.mean(values):,g}"
    spread = f" ±{100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{spread}"


def _places(done: Reproduction, metric: str) -> int:
    """Decimals of the published numbers of a metric: none for counts, else one or two as in the source."""
    if metric in COUNTS:
        return 0
    numbers = [value for row in done.table.rows for (_, name), value in row.published.items() if name == metric]
    return 1 if all(round(value, 1) == value for value in numbers) else 2


def _failures(done: Reproduction) -> Iterator[str]:
    for cell in done.failed:
        yield f"failed: {printable(done.table.rows[cell.row].name)}, {cell.column}: {printable(cell.error)}"


def _legend(done: Reproduction) -> Iterator[str]:
    numbers = "in percent; " if not set(done.table.metrics) <= COUNTS else ""
    yield f"{numbers}{_NONE} means no number; rows without a number of ours are published only"
    yield from done.notes
