"""Files of image captions: a CSV with the columns image and caption, or any other image list."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from zsprompt._utils import file_kinds
from zsprompt._utils.outputs import whole_csv
from zsprompt._utils.text import counted
from zsprompt.data.image_lists import ListRow, read_rows
from zsprompt.data.image_lists.places import with_slashes
from zsprompt.data.remarks import Remarks
from zsprompt.errors import DataError

_COLUMNS = ("caption", "captions")
_NAMED = 10
_LOGGER = logging.getLogger(__name__)


def read_image_captions(path: Path) -> dict[str, str]:
    """Image id -> caption on one line, from any list that `read_rows` supports. Blank captions are omitted.

    Raises:
        DataError: the file is missing or broken, has no captions, or has two captions for one image.
    """
    captions: dict[str, str] = {}
    columns: dict[str, None] = {}
    remarks = Remarks()
    for row in read_rows(path, remarks=remarks):
        columns |= dict.fromkeys(row.values)
        text = _caption(row)
        if text and captions.setdefault(row.image, text) != text:
            raise DataError(f"{row.where}: expected one caption per image, found another for {row.image!r}")
    if not captions:
        names = ", ".join(columns)[:120] or "none except the images"
        raise DataError(f"expected captions in a column 'caption' of {path}, found columns {names}")
    for remark in remarks.found():
        _LOGGER.warning(remark.sentence)
    return captions


def captions_for(images: Sequence[str], path: Path) -> tuple[str, ...]:
    """Captions of the N images with these ids, from the file at `path`. It may contain further images.

    Raises:
        DataError: some images have no caption; the message counts them and names the first. See also
            `read_image_captions`.
    """
    captions = read_image_captions(path)
    captions = {with_slashes(image): caption for image, caption in captions.items()} | captions
    texts = [captions.get(image.strip()) for image in images]  # cells are read without surrounding blanks
    wanted = {with_slashes(image.strip()) for image in images}
    if unused := len({with_slashes(image) for image in captions} - wanted):
        _LOGGER.info("left out %s of %s of images that are not in the data set", counted(unused, "caption"), path.name)
    missing = [image for image, caption in zip(images, texts, strict=True) if caption is None]
    if missing:
        more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
        raise DataError(
            f"expected a caption in {path} for each of {len(images):,} images, found none for {len(missing):,} "
            f"({', '.join(missing[:_NAMED])}{more}); write such a file with `zsprompt caption-images`"
        )
    return tuple(caption for caption in texts if caption is not None)


def save_image_captions(captions: Mapping[str, str], path: Path, *, force: bool = False) -> None:
    """Write a CSV with the columns image and caption, for `read_image_captions`.

    Args:
        captions: captions by image id.
        path: the file; earlier captions in it are replaced.
        force: also replace a file that zsprompt did not write.

    Raises:
        OutputError: another file is at `path`, or the file cannot be written.
    """
    with whole_csv(path, file_kinds.IMAGE_CAPTIONS, force=force) as file:
        file.header(file_kinds.IMAGE_CAPTIONS.columns)
        for image, caption in captions.items():
            file.row([image, caption])


def _caption(row: ListRow) -> str:
    """The row's caption on one line; empty if it has none."""
    value = next((row.values[name] for name in row.values if name.lower() in _COLUMNS), None)
    if value is not None and not isinstance(value, str):
        raise DataError(f"{row.where}: expected a caption, found {str(value)[:60]!r}")
    return " ".join((value or "").split())
