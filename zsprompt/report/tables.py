"""The table of an ablation: complete as CSV and JSON, and for readers as Markdown, LaTeX and terminal output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from zsprompt._utils import file_kinds
from zsprompt._utils.arguments import checked
from zsprompt._utils.file_kinds import FileKind
from zsprompt._utils.outputs import check_folder, new_folder, whole_csv, write_json, write_text
from zsprompt.evaluation.measures import Measure, number_text, shown_in, texts
from zsprompt.experiments.ablation import Ablation
from zsprompt.report.page import Table
from zsprompt.report.terminal import printable, text_table

JSON, CSV, MARKDOWN, LATEX = "ablation.json", "ablation.csv", "ablation.md", "ablation.tex"

FILES: dict[str, FileKind] = {
    JSON: file_kinds.ABLATION,
    CSV: file_kinds.ABLATION_CSV,
    MARKDOWN: file_kinds.ABLATION_MARKDOWN,
    LATEX: file_kinds.ABLATION_LATEX,
}
"""The files of an ablation's table."""

_NONE = "–"

Record = Mapping[str, Any]


@checked
def save_ablation(ablation: Ablation, folder: Path | str, *, force: bool = False) -> None:
    """Write ablation.csv, .md, .tex and finally .json.

    Args:
        ablation: the ablation.
        folder: the folder; an earlier table in it is replaced.
        force: also replace files of these names that zsprompt did not write.

    Raises:
        OutputError: one of these files is not such a table, or the folder cannot be written.
    """
    folder = Path(folder)
    check_folder(folder, FILES, force=force)
    records = ablation.records()
    with new_folder(folder):
        with whole_csv(folder / CSV, file_kinds.ABLATION_CSV, force=force) as file:
            file.header(records[0])
            for record in records:
                file.row(record.values())
        for name, kind, text in (
            (MARKDOWN, file_kinds.ABLATION_MARKDOWN, markdown(records)),
            (LATEX, file_kinds.ABLATION_LATEX, latex(records)),
        ):
            write_text(folder / name, kind, f"{kind.mark}\n\n{text}", force=force)
        write_json(folder / JSON, file_kinds.ABLATION, {"rows": records}, force=force)


def markdown(records: Sequence[Record]) -> str:
    """The table in Markdown: what differs between rows and their measures in percent, with failures and a legend."""
    header, rows = _cells(records)
    lines = [header, ["---"] * len(header), *rows]
    table = "".join("| " + " | ".join(map(_markdown_text, cells)) + " |\n" for cells in lines)
    below = [*map(_markdown_text, failures(records)), legend(records)]
    return table + "\n" + "\n\n".join(below) + "\n"


def latex(records: Sequence[Record]) -> str:
    """The table for LaTeX with booktabs; failures and legend are comments."""
    header, rows = _cells(records)
    numeric = len(header) - _words(records)
    lines = [
        f"\\begin{{tabular}}{{{'l' * _words(records)}{'r' * numeric}}}",
        "\\toprule",
        *(_latex_row(header), "\\midrule", *map(_latex_row, rows)),
        "\\bottomrule",
        "\\end{tabular}",
        *(f"% {failure}" for failure in failures(records)),
        f"% {legend(records)}",
    ]
    return "\n".join(lines) + "\n"


def terminal_table(records: Sequence[Record]) -> str:
    """The table for a terminal, with the legend below."""
    header, rows = _cells(records)
    cells = [[printable(cell) for cell in row] for row in rows]
    table = text_table(header, cells, left=range(_words(records)))
    return "\n".join([table, "", fill(legend(records), 100)])


def page_table(records: Sequence[Record]) -> Table:
    """The table for a page; a row that failed says why in place of its numbers."""
    header, rows = _cells(records)
    words = _words(records)
    shown = [[*row[:words], *_measured(record, row[words:])] for record, row in zip(records, rows, strict=True)]
    return Table("Rows in the order of the plan", header, shown, words)


def _measured(record: Record, numbers: Sequence[str]) -> list[str]:
    """The numbers of a row, or one cell that says why there are none."""
    if record["error"]:
        return [f"failed: {printable(record['error'])}"]
    return [number.replace("-", "−") for number in numbers]


def row_names(records: Sequence[Record]) -> list[str]:
    """A short name per row: its number and what differs between rows."""
    words, _ = _columns(records)
    cells = [[make(record) for _, make in words] for record in records]
    return [" ".join(printable(cell) for cell in row if cell != _NONE) for row in cells]


def failures(records: Sequence[Record]) -> list[str]:
    """One sentence per row that failed."""
    return [f"Row {record['row']} failed: {printable(record['error'])}" for record in records if record["error"]]


def legend(records: Sequence[Record]) -> str:
    """The data, chance and ceilings of the rows, and the meaning of the columns."""
    done = [record for record in records if not record["error"]]
    if not done:
        return "No row was measured."
    grounds = {(r["dataset"], r["split"], r["difficult"], r["images"], r["labels"]): r for r in done}
    facts = "; ".join(
        f"{data} {split} (difficult: {difficult}): {images:,} images, {labels} labels, {', '.join(_baselines(record))}"
        for (data, split, difficult, images, labels), record in grounds.items()
    )
    return (
        f"In percent. {facts}. Intervals are 95 %, by bootstrap over images. Δ is the change of mAP against the first "
        "row of the same data set, on the same resamples; p is its p-value, adjusted for the number of rows "
        "(Benjamini and Hochberg). Seconds are for embedding the texts and predicting: cold, with the cache as it was, "
        "and warm, a second time."
    )


def _baselines(record: Record) -> list[str]:
    """Chance, and the baselines and ceilings of the other measures on these targets."""
    shown = texts(record)
    others = [f"{m.title} {text}" for m in shown_in("ablation table") for text in m.baselines(shown)]
    return [f"chance {shown['chance']}", *others]


_Column = tuple[str, Callable[[Record], str]]

_TEXTS: tuple[tuple[str, str], ...] = (
    ("strategy", "strategy"),
    ("prompts", "prompts"),
    ("model", "model"),
    ("dataset", "data set"),
    ("split", "split"),
    ("names", "names"),
    ("difficult", "difficult"),
    ("captions", "captions"),
    ("supervision", "supervision"),
)
_ALWAYS = ("strategy", "prompts")


def _columns(records: Sequence[Record]) -> tuple[list[_Column], list[_Column]]:
    """Columns of text, those in which rows differ, and columns of numbers."""
    words: list[_Column] = [("row", lambda r: str(r["row"]))]
    for key, name in _TEXTS:
        if key in _ALWAYS or len({record[key] for record in records if not record["error"]}) > 1:
            words.append((name, lambda r, key=key: _text(r[key])))  # type: ignore[misc]
    numbers: list[_Column] = [
        ("mAP", lambda r: _with_interval(r, "mAP", "mAP_low", "mAP_high")),
        ("Δ", lambda r: _with_interval(r, "change", "change_low", "change_high", sign="+")),
        ("p", lambda r: _p_value(r["p_adjusted"])),
        *map(_measure_column, shown_in("ablation table")),
        ("texts", lambda r: _NONE if r["texts"] is None else f"{r['texts']:,}"),
        ("s cold", lambda r: _seconds(r["seconds_cold"])),
        ("s warm", lambda r: _seconds(r["seconds_warm"])),
    ]
    return words, numbers


def _measure_column(measure: Measure) -> _Column:
    return measure.title, lambda record: measure.text(record[measure.key])


def _cells(records: Sequence[Record]) -> tuple[list[str], list[list[str]]]:
    words, numbers = _columns(records)
    columns = [*words, *numbers]
    return [name for name, _ in columns], [[make(record) for _, make in columns] for record in records]


def _words(records: Sequence[Record]) -> int:
    return len(_columns(records)[0])


def _with_interval(record: Record, value: str, low: str, high: str, sign: str = "") -> str:
    if record[value] is None:
        return "failed" if record["error"] and value == "mAP" else _NONE
    number = f"{100 * record[value]:{sign}.1f}"
    return number if record[low] is None else f"{number} ({number_text(record[low])} to {number_text(record[high])})"


def _p_value(value: float | None) -> str:
    if value is None:
        return _NONE
    return "<0.01" if value < 0.01 else f"{value:.2f}"


def _seconds(value: float | None) -> str:
    return _NONE if value is None else f"{value:.1f}"


def _text(value: object) -> str:
    return _NONE if value is None else str(value)


def _markdown_text(text: str) -> str:
    escaped = "".join(f"\\{mark}" if mark in "\\|`*_<>[]" else mark for mark in printable(text))
    return escaped.replace("\n", " ")


_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "Δ": r"$\Delta$"}
_LATEX |= {mark: f"\\{mark}" for mark in "&%$#_{}"} | {"<": r"\textless{}", ">": r"\textgreater{}"}


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join("".join(_LATEX.get(mark, mark) for mark in printable(cell)) for cell in cells) + r" \\"
