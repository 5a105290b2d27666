"""Result folders: how they are written and read. Each kind of damage has its own error."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from zsprompt._utils import file_kinds
from zsprompt._utils.arguments import checked
from zsprompt._utils.arrays import Bools, Floats, Targets
from zsprompt._utils.csv_cells import DIGITS, decided, exact, restored
from zsprompt._utils.file_kinds import FileKind
from zsprompt._utils.files import read_fault, read_text
from zsprompt._utils.outputs import CsvWriter, check_folder, new_folder, remove, whole_csv, write_json
from zsprompt._utils.validate import Must, Section, first_fault
from zsprompt.encoders.windows import Grid
from zsprompt.errors import ResultError
from zsprompt.evaluation.predict import Predictions
from zsprompt.evaluation.reference_words import KEY
from zsprompt.evaluation.result import Result
from zsprompt.strategies import Prediction, ReferenceWords
from zsprompt.strategies.base import BestWindows

SEPARATOR = "|"
"""Between label names in one cell of a CSV file."""

RESULT, SCORES, PER_CLASS = "result.json", "scores.csv", "per_class.csv"
PROBABILITIES, WINDOWS = "probabilities.csv", "windows.csv"
"""Of strategies that have them only."""

FILES: dict[str, FileKind] = {
    RESULT: file_kinds.RESULT,
    SCORES: file_kinds.SCORES,
    PER_CLASS: file_kinds.PER_CLASS,
    PROBABILITIES: file_kinds.PROBABILITIES,
    WINDOWS: file_kinds.WINDOWS,
}
"""The files of a result folder."""

_FIRST = file_kinds.SCORES.columns  # of scores.csv before the scores
_LIKELY = file_kinds.PROBABILITIES.more or ""  # before each label in the header of probabilities
_WINDOW = file_kinds.WINDOWS.more or ""  # before each label in the header of windows
_GRID = file_kinds.WINDOWS.columns  # before the windows
_COUNTS = ("texts_encoded", "texts_cached", "texts_not_kept", "images_encoded", "images_cached")


_RECIPE = ("strategy", "prompts", "model", "fingerprint", "dataset", "split", "names", "difficult")
_FACTS = {
    "recipe": Section(
        dict.fromkeys(_RECIPE, Any) | {"prompts": list[Any], KEY: ReferenceWords | None}, frozenset(_RECIPE)
    ),
    "mAP": float | None,
    "ap": Annotated[dict[str, Any], Must("a section with a number per label", bool)],
    "images": int,
    "seconds": float,
    "notes": list[Any],
    "resamples": Annotated[int, Must("a whole number of at least 2", lambda number: number >= 2)],
    "skipped_images": dict[str, Any],
    "overflowed": int,
    **dict.fromkeys(_COUNTS, int),
}
_CONTENT = Section(_FACTS | {"captions": dict[str, Any]}, _FACTS.keys())


@checked
def save_result(result: Result, folder: Path | str, *, force: bool = False) -> None:
    """Write scores.csv, per_class.csv and finally result.json: a folder with a result.json is complete.

    Some strategies also have probabilities.csv, or windows.csv with the window that each score comes from.

    Args:
        result: the result.
        folder: the folder; an earlier result in it is replaced.
        force: also replace files of these names that zsprompt did not write.

    Raises:
        OutputError: one of these files is not part of a result, the folder cannot be written, or the disk is full.
    """
    folder = Path(folder)
    check_folder(folder, FILES, force=force)
    with new_folder(folder):
        for name in (RESULT, PROBABILITIES, WINDOWS):
            remove(folder / name, FILES[name], force=force)
        with whole_csv(folder / SCORES, file_kinds.SCORES, force=force) as file:
            _write_scores(result, file)
        if result.prediction.probabilities is not None:
            with whole_csv(folder / PROBABILITIES, file_kinds.PROBABILITIES, force=force) as file:
                _write_probabilities(result, result.prediction.probabilities, file)
        if result.prediction.windows is not None:
            with whole_csv(folder / WINDOWS, file_kinds.WINDOWS, force=force) as file:
                _write_windows(result, result.prediction.windows, file)
        with whole_csv(folder / PER_CLASS, file_kinds.PER_CLASS, force=force) as file:
            _write_per_class(result, file)
        write_json(folder / RESULT, file_kinds.RESULT, result.to_dict(), force=force)


@checked
def load_result(folder: Path | str) -> Result:
    """Read what `save_result` wrote, bit for bit; measures are computed again from the scores.

    Raises:
        ResultError: the folder or a file is missing, a file is damaged, a score is not finite, or the files do not
            belong together.
    """
    folder = Path(folder)
    facts = _read_facts(folder)
    labels = tuple(facts["ap"])
    images, decisions, targets, scores = _read_scores(folder / SCORES, labels, facts["images"])
    given, windows = folder / PROBABILITIES, folder / WINDOWS
    prediction = Prediction(
        scores,
        decisions,
        facts["overflowed"],
        facts.get("captions", {}),
        _read_probabilities(given, images, labels) if given.exists() else None,
        _read_windows(windows, images, labels) if windows.exists() else None,
    )
    result = Result(
        labels=labels,
        images=images,
        prediction=prediction,
        targets=targets,
        recipe=facts["recipe"],
        skipped=tuple(facts["skipped_images"].items()),
        counts={key: facts[key] for key in _COUNTS},
        seconds=facts["seconds"],
        notes=tuple(map(str, facts["notes"])),
        resamples=facts["resamples"],
    )
    _require_same(folder, facts["mAP"], result.mAP)
    return result


def _write_scores(result: Result, file: CsvWriter) -> None:
    """The scores are exact: measures, ties and decisions by thresholds are computed again from them."""
    decisions, scores, targets = result.prediction.decisions, result.prediction.scores, result.targets
    file.header([*_FIRST, *result.labels])
    for n, image in enumerate(result.images):
        cells = (_joined(result.labels, mask) for mask in (decisions[n], targets[n] == 1, targets[n] == -1))
        file.row([image, *cells], map(exact, scores[n]))


def _write_probabilities(result: Result, probabilities: Floats, file: CsvWriter) -> None:
    file.header([_FIRST[0], *(_LIKELY + label for label in result.labels)])
    for image, row in zip(result.images, probabilities, strict=True):
        file.row([image], map(exact, row))


def _write_windows(result: Result, windows: BestWindows, file: CsvWriter) -> None:
    file.header([*_GRID, *(_WINDOW + label for label in result.labels)])
    for image, grid, best in zip(result.images, windows.grids, windows.best, strict=True):
        file.row([image], map(str, (*grid, *best)))


def _write_per_class(result: Result, file: CsvWriter) -> None:
    table = result.per_class()
    file.header(["label", *table.columns])
    for label, *values in table.itertuples(name=None):
        file.row([label, *values])


def save_predictions(parts: Iterable[Predictions], labels: Sequence[str], path: Path, *, force: bool = False) -> None:
    """Write one row per image: image, predicted labels (joined by "|"), error, then one score per label.

    Probabilities, if any, follow in columns "probability of LABEL". Parts, at least one, are written as they come.
    Images that could not be read stand at the end, with the reason under `error` and no scores.

    Scores have 6 significant digits, rounded up for a predicted label and down for another. So a threshold gives the
    same decisions on them as on the exact scores.

    Args:
        parts: the predictions.
        labels: C labels.
        path: the file; earlier predictions in it are replaced.
        force: also replace a file that zsprompt did not write.

    Raises:
        OutputError: another file is at `path`, the file cannot be written, or the disk is full.
    """
    bad: list[tuple[str, str]] = []
    header: list[str] = []
    with whole_csv(path, file_kinds.PREDICTIONS, force=force) as file:
        for part in parts:
            if not header:
                likely = part.probabilities is not None
                header = [*file_kinds.PREDICTIONS.columns, *labels, *(_LIKELY + label for label in labels if likely)]
                file.header(header)
            _write_part(file, part)
            bad += part.bad
        for image, reason in bad:
            file.row([image, "", reason], [""] * (len(header) - 3))


def _write_part(file: CsvWriter, part: Predictions) -> None:
    for n, image in enumerate(part.images):
        present = SEPARATOR.join(label for label, _ in part.present(n))
        scores = map(decided, part.scores[n].tolist(), part.decisions[n].tolist())
        likely = [] if part.probabilities is None else [f"{value:.{DIGITS}g}" for value in part.probabilities[n]]
        file.row([image, present, ""], [*scores, *likely])


def _read_facts(folder: Path) -> dict[str, Any]:
    path = folder / RESULT
    if not folder.is_dir() or not path.is_file():
        what = f"no {RESULT} in it" if folder.is_dir() else "no such folder"
        raise ResultError(f"expected a result folder at {folder}, found {what}; `zsprompt run --out DIR` writes one")
    try:
        facts: dict[str, Any] = json.loads(read_text(path))
    except (OSError, ValueError) as error:
        raise ResultError(f"cannot read {path}: {read_fault(path, error)}; run it again") from None
    if fault := first_fault(facts, _CONTENT, extra_keys=True):
        raise ResultError(f"{path}: {fault}; run it again")
    return facts


def _read_scores(path: Path, labels: tuple[str, ...], count: int) -> tuple[tuple[str, ...], Bools, Targets, Floats]:
    """Ids [N], decisions, targets and scores [N, C]."""
    rows = _read_table(path, [(*_FIRST, *labels)], count, len(_FIRST))
    column = {label: c for c, label in enumerate(labels)}
    shape = (len(rows), len(labels))
    decisions, targets = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.int8)
    for n, (_, predicted, true, left_out, *_) in enumerate(rows):
        where = f"{path}, row {n + 1}"
        decisions[n, _columns(predicted, column, where)] = True
        targets[n, _columns(true, column, where)] = 1
        targets[n, _columns(left_out, column, where)] = -1
    return tuple(row[0] for row in rows), decisions, targets, _numbers(path, rows, len(_FIRST))


def _read_probabilities(path: Path, images: Sequence[str], labels: tuple[str, ...]) -> Floats:
    columns = [tuple(before + label for label in labels) for before in (_LIKELY, "")]  # earlier files: labels alone
    rows = _read_table(path, [(_FIRST[0], *names) for names in columns], len(images), 1)
    _require_images(path, rows, images)
    return _numbers(path, rows, 1)


def _read_windows(path: Path, images: Sequence[str], labels: tuple[str, ...]) -> BestWindows:
    rows = _read_table(path, [(*_GRID, *(_WINDOW + label for label in labels))], len(images), 1)
    _require_images(path, rows, images)
    numbers = _numbers(path, rows, 1)
    whole = numbers.astype(np.intp)
    grids, best = whole[:, : len(_GRID) - 1], whole[:, len(_GRID) - 1 :]
    if (whole != numbers).any() or (grids < 1).any() or (best < 0).any():
        raise ResultError(f"expected whole numbers, of a grid at least 1, in {path}, found others; run it again")
    for n, grid in enumerate(grids):
        if (best[n] >= len(Grid(*map(int, grid)))).any():
            raise ResultError(f"{path}, row {n + 1}: expected windows of the grid, found others; run it again")
    return BestWindows(grids, best)


def _require_images(path: Path, rows: list[list[str]], images: Sequence[str]) -> None:
    if tuple(row[0] for row in rows) != tuple(images):
        raise ResultError(f"expected the images of {SCORES} in {path}, found others; run it again")


def _read_table(path: Path, headers: Sequence[tuple[str, ...]], count: int, texts: int) -> list[list[str]]:
    """The rows below one of these headers, which have equal lengths. The first `texts` cells of a row are texts."""
    header = headers[0]
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            columns, *rows = list(csv.reader(file, strict=True)) or [[]]
    except (OSError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ResultError(f"cannot read {path} ({reason}); run it again") from None
    if not any(_is_header(columns, known) for known in headers):
        raise ResultError(f"expected the columns {_listed(header)} in {path}, found {_listed(columns)}; run it again")
    uneven = next((n for n, row in enumerate(rows, 1) if len(row) != len(header)), None)
    if uneven or len(rows) != count:
        fault = f"{len(rows[uneven - 1])} in row {uneven}" if uneven else f"{len(rows)} rows"
        raise ResultError(f"expected {count} rows of {len(header)} cells in {path}, found {fault}; run it again")
    return [[*map(restored, row[:texts]), *row[texts:]] for row in rows]


def _is_header(columns: Sequence[str], header: Sequence[str]) -> bool:
    """Whether these are the columns, as written now or by an earlier version, which wrote names as they are."""
    return list(columns) == list(header) or [*map(restored, columns)] == list(header)


def _numbers(path: Path, rows: list[list[str]], first: int) -> Floats:
    values = np.empty((len(rows), len(rows[0]) - first), dtype=np.float32)
    for n, row in enumerate(rows):
        try:
            values[n] = row[first:]
        except ValueError as error:
            raise ResultError(f"{path}, row {n + 1}: expected numbers, {error}; run it again") from None
    if not np.isfinite(values).all():
        n, c = np.argwhere(~np.isfinite(values))[0]
        raise ResultError(f"{path}, row {n + 1}: expected finite scores, found {rows[n][first + c]}; run it again")
    return values


def _columns(cell: str, column: dict[str, int], where: str) -> list[int]:
    names = cell.split(SEPARATOR) if cell else []
    unknown = next((name for name in names if name not in column), None)
    if unknown is not None:
        raise ResultError(f"{where}: expected labels of the header, found {unknown!r}; run it again")
    return [column[name] for name in names]


def _require_same(folder: Path, stored: float | None, computed: float) -> None:
    if (stored is None) != bool(np.isnan(computed)) or (stored is not None and abs(stored - computed) > 1e-6):
        raise ResultError(
            f"expected {RESULT} and {SCORES} in {folder} to belong together, found mAP {stored} in the first and "
            f"{computed:.6f} by the second; run it again"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "")


def _joined(labels: tuple[str, ...], mask: np.ndarray[Any, np.dtype[np.bool_]]) -> str:
    return SEPARATOR.join(label for label, yes in zip(labels, mask, strict=True) if yes)
