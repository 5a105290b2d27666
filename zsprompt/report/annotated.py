"""Annotated images of predictions: files in a folder, each with the labels that were predicted for an image."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from zsprompt._utils.arguments import checked
from zsprompt._utils.file_kinds import ANNOTATED_IMAGE, ANNOTATED_INDEX
from zsprompt._utils.outputs import (
    CsvWriter,
    Reads,
    check_output,
    new_folder,
    remove,
    same_file,
    whole_csv,
    whole_path,
)
from zsprompt._utils.progress import Progress, quiet
from zsprompt._utils.read_ahead import ahead
from zsprompt._utils.text import counted
from zsprompt.data.images import ImageRef, decode
from zsprompt.data.inputs import image_among
from zsprompt.errors import ImageError, OutputError, UsageError
from zsprompt.evaluation.predict import Predictions
from zsprompt.report.annotation import Mark, annotated
from zsprompt.report.fonts import can_draw
from zsprompt.report.terminal import confidence_text, printable

INDEX = "index.csv"
"""Written last: which annotated image shows which image."""

OPTION = "--show"

_NAME = re.compile(r"\d+-.*\.jpg")
_UNSAFE = frozenset('<>:"/\\|?*')  # not allowed in the name of a file on some system
_LONGEST_STEM = 120  # bytes
_QUALITY = 90
_THREADS = 4

_log = logging.getLogger(__name__)


@checked
def show(predictions: Predictions, folder: Path | str, *, force: bool = False) -> None:
    """Write a copy of each image with the predicted labels, their scores and their windows, as far as they have any.

    Files are called NUMBER-NAME.jpg in the order of the images. The longer side has at most 1,024 pixels. An earlier
    output in the folder is replaced. `index.csv`, written last, names the image of each file. An image that can no
    longer be read is left out with a warning.

    Args:
        predictions: what `predict` returned.
        folder: the folder.
        force: also replace files of these names that zsprompt did not write.

    Raises:
        UsageError: the predictions do not know their images.
        OutputError: a file is not ours or an image of the predictions, the folder cannot be written, or the disk is
            full.
    """
    if len(predictions.refs) != len(predictions.images):
        raise UsageError("expected predictions with their images, as `predict` returns them, found none to draw on")
    target = AnnotatedFolder(Path(folder), len(predictions.images), force=force)
    target.check(predictions.refs)
    for _ in target.watch([predictions]):
        pass


@dataclass
class AnnotatedFolder:
    """Writes annotated images to a folder as predictions come in parts.

    Attributes:
        folder: the folder.
        total: number of images, for the width of the numbers.
        force: replace files of others too.
        progress: shows progress.
        count: number of predicted images so far.
        bad: number of those that could not be read again.
    """

    folder: Path
    total: int
    force: bool = False
    progress: Progress = quiet
    count: int = 0
    bad: int = 0

    def check(self, images: Iterable[ImageRef], folders: Iterable[Path] = (), inputs: Iterable[Reads] = ()) -> None:
        """Refuse the folder before the work begins, and leave nothing in it.

        Args:
            images: the images that the command reads.
            folders: the folders that it searches for images.
            inputs: what else it reads.

        Raises:
            OutputError: the folder lies in one of these folders, or see `show`.
        """
        for searched in folders:
            if any(same_file(searched, parent) for parent in (self.folder, *self.folder.resolve().parents)):
                raise OutputError(
                    f"expected a folder outside of {searched}, found {self.folder}, whose images the same command "
                    f"would read the next time; choose another {OPTION}"
                )
        with new_folder(self.folder, option=OPTION):
            check_output(self.folder / INDEX, ANNOTATED_INDEX, inputs=inputs, force=self.force, option=OPTION)
            names = self._earlier()
            if (read := image_among(images, names)) is not None:
                raise OutputError(
                    f"expected a folder without images that are read, found {read}; choose another {OPTION}"
                )
            for path in names:
                if not (self.force or ANNOTATED_IMAGE.recognises(path)):
                    check_output(path, ANNOTATED_IMAGE, option=OPTION)

    def watch(self, parts: Iterable[Predictions]) -> Iterator[Predictions]:
        """Yield the parts, after the images of each are written. The index is complete after the last one."""
        with ExitStack() as stack:
            index = None
            for part in parts:
                if part.images and index is None:  # without an image, nothing is made or replaced
                    stack.enter_context(new_folder(self.folder, option=OPTION))
                    self._remove_earlier()
                    index = stack.enter_context(
                        whole_csv(self.folder / INDEX, ANNOTATED_INDEX, force=self.force, option=OPTION)
                    )
                    index.header(ANNOTATED_INDEX.columns)
                if index is not None:
                    self._write_part(part, index)
                yield part

    def _write_part(self, part: Predictions, index: CsvWriter) -> None:
        names = _drawn_names(part.labels, tell=self.count == 0)

        def write(n: int) -> Path | str:
            path = self.folder / _file_name(self.count + n + 1, self.total, part.images[n])
            return self._write(path, part.refs[n], _marks(part, n, names))

        rows = range(len(part.images))
        with ThreadPoolExecutor(_THREADS) as pool, self.progress("annotated images", len(rows), "images") as advance:
            for n, made in zip(rows, ahead(pool, write, rows, 4 * _THREADS), strict=True):
                if isinstance(made, Path):
                    index.row([made.name, part.images[n]])
                else:
                    self.bad += 1
                    _log.warning("cannot annotate %s: %s", printable(part.images[n]), made)
                advance(1)
        self.count += len(rows)

    def _write(self, path: Path, ref: ImageRef, marks: list[Mark]) -> Path | str:
        """The file, or why the image cannot be read."""
        try:
            picture = annotated(decode(ref.read()), marks)
        except ImageError as error:
            return str(error)
        with whole_path(path, ANNOTATED_IMAGE, force=self.force, option=OPTION) as half:
            picture.save(half, "jpeg", quality=_QUALITY, subsampling=0, comment=ANNOTATED_IMAGE.mark)
        return path

    def _earlier(self) -> list[Path]:
        """Files that are called as annotated images are."""
        return [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name) and path.is_file()]

    def _remove_earlier(self) -> None:
        """Remove an earlier output, its index first, so that a folder with an index is complete."""
        remove(self.folder / INDEX, ANNOTATED_INDEX, force=self.force, option=OPTION)
        for path in self._earlier():
            if ANNOTATED_IMAGE.recognises(path):
                remove(path, ANNOTATED_IMAGE, option=OPTION)


def _marks(part: Predictions, n: int, names: dict[str, str]) -> list[Mark]:
    boxes = part.boxes(n)
    return [
        Mark(names[label], confidence_text(part, n, label, score), boxes.get(label)) for label, score in part.present(n)
    ]


def _drawn_names(labels: tuple[str, ...], *, tell: bool) -> dict[str, str]:
    """Each label as it is drawn: one that no font can draw is shown by its number."""
    names = {label: printable(label) for label in labels}
    missing = {label: f"label {n}" for n, label in enumerate(labels, 1) if not can_draw(names[label])}
    if missing and tell:
        _log.warning(
            "no font on this machine can draw %s, which annotated images show by number (%s); install one that can, "
            "such as Noto Sans",
            counted(len(missing), "label"),
            ", ".join(f"{number}: {printable(label)}" for label, number in missing.items()),
        )
    return names | missing


def _file_name(number: int, total: int, image: str) -> str:
    """NUMBER-NAME.jpg: the number keeps images of one name apart, and all in order."""
    stem = os.path.splitext(re.split(r"[/\\]", image)[-1])[0]  # noqa: PTH122 - the id of an image is not a path
    safe = "".join(c if c.isprintable() and c not in _UNSAFE else "_" for c in stem)
    short = safe.encode("utf-8", "replace")[:_LONGEST_STEM].decode("utf-8", "ignore")
    return f"{number:0{len(str(total))}}-{short}.jpg"
