"""Gallery: thumbnails of errors, with targets and predictions."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np

from zsprompt._utils.progress import Progress, quiet
from zsprompt._utils.read_ahead import ahead
from zsprompt.data.images import ImageRef, decode
from zsprompt.errors import ImageError
from zsprompt.evaluation.compare import Comparison
from zsprompt.evaluation.result import Result
from zsprompt.report.mistakes import Example, examples, flipped, names
from zsprompt.report.page import Gallery, GalleryImage, Group, Key, Line
from zsprompt.report.terminal import best_first, by_change, printable

_SIDE = 224  # pixels of a thumbnail's longer side
_QUALITY = 70
_THREADS = 4

Thumbnail = tuple[str, int, int] | str
"""A data URL with width and height, or the reason why there is none."""

OUTLINE = "The outline is the window of the image that fits the label best, and from which its score comes."
"""The legend of galleries of strategies with windows."""

_HEADINGS = {
    "false positive": "false positives",
    "false negative": "false negatives",
    "now right": "now right",
    "now wrong": "now wrong",
}


def run_gallery(result: Result, images: Mapping[str, ImageRef], progress: Progress = quiet) -> Gallery:
    """The most confident false positives and the lowest false negatives of each label.

    Args:
        result: the run.
        images: its images by id; a missing image is shown by name.
        progress: shows progress.
    """
    chosen = examples(result)

    def lines(example: Example) -> list[Line]:
        n, c = example.image, example.label
        return [
            Line("true labels", _named(result, result.targets[n] == 1)),
            Line("predicted", _named(result, result.prediction.decisions[n]), "worse"),
            *_left_out(result, n),
            Line("score", f"{result.prediction.scores[n, c]:.3g}" + _probability(result, n, c)),
        ]

    kinds = (("false positive", "false positives"), ("false negative", "false negatives"))
    return _gallery(result, chosen, kinds, lines, images, best_first(result), progress)


def comparison_gallery(comparison: Comparison, images: Mapping[str, ImageRef], progress: Progress = quiet) -> Gallery:
    """The images per label whose decision became right or wrong; see run_gallery."""
    first, second = comparison.first, comparison.second

    def lines(example: Example) -> list[Line]:
        n, c = example.image, example.label
        mood = "better" if example.kind == "now right" else "worse"
        return [
            Line("true labels", _named(second, second.targets[n] == 1)),
            Line("predicted before", _named(first, first.prediction.decisions[n])),
            Line("predicted now", _named(second, second.prediction.decisions[n]), mood),
            *_left_out(second, n),
            Line("score", f"{first.prediction.scores[n, c]:.3g}, now {second.prediction.scores[n, c]:.3g}"),
        ]

    kinds = (("now right", "now right"), ("now wrong", "now wrong"))
    return _gallery(second, flipped(comparison), kinds, lines, images, by_change(comparison), progress)


def _gallery(
    result: Result,
    chosen: Sequence[Example],
    kinds: Sequence[tuple[str, str]],
    lines: Callable[[Example], list[Line]],
    images: Mapping[str, ImageRef],
    order: Sequence[int],
    progress: Progress,
) -> Gallery:
    positions = sorted({example.image for example in chosen})
    refs = [images.get(result.images[n]) for n in positions]
    thumbnails = dict(zip(positions, _thumbnails(refs, progress), strict=True))
    counts = Counter(example.label for example in chosen)
    groups = []
    for c in order:
        for kind, _ in kinds:
            group = [example for example in chosen if (example.label, example.kind) == (c, kind)]
            cards = [_card(result, example, lines(example), thumbnails[example.image]) for example in group]
            heading = f"{printable(result.labels[c])}: {_HEADINGS[kind]}" + ("" if cards else ": none")
            groups.append(Group(str(c), kind, heading, cards))
    labels = [Key(str(c), f"{printable(result.labels[c])} ({counts[c]})") for c in order]
    most = max(order, key=lambda c: counts[c])
    return Gallery(labels, [Key(*kind) for kind in kinds], groups, first=str(most))


def _card(result: Result, example: Example, lines: Sequence[Line], thumbnail: Thumbnail) -> GalleryImage:
    name = printable(result.images[example.image])
    if isinstance(thumbnail, str):
        return GalleryImage(name, lines, reason=thumbnail)
    windows = result.prediction.windows
    window = None if windows is None else windows.box(example.image, example.label)
    return GalleryImage(name, lines, *thumbnail, window=window)


def _thumbnails(refs: Sequence[ImageRef | None], progress: Progress) -> list[Thumbnail]:
    thumbnails = []
    with ThreadPoolExecutor(_THREADS) as pool, progress("thumbnails", len(refs), "images") as advance:
        for thumbnail in ahead(pool, _thumbnail, refs, 4 * _THREADS):
            thumbnails.append(thumbnail)
            advance(1)
    return thumbnails


def _thumbnail(ref: ImageRef | None) -> Thumbnail:
    if ref is None:
        return "image not found"
    try:
        image = decode(ref.read())
    except ImageError as error:
        return f"no image: {error}"
    image.thumbnail((_SIDE, _SIDE))
    buffer = BytesIO()
    image.save(buffer, "webp", quality=_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode(), *image.size


def _named(result: Result, mask: np.ndarray) -> str:
    return ", ".join(map(printable, names(result.labels, mask))) or "none"


def _left_out(result: Result, image: int) -> list[Line]:
    """Labels with a left-out target, which count as neither right nor wrong."""
    left_out = result.targets[image] == -1
    return [Line("left out", _named(result, left_out))] if left_out.any() else []


def _probability(result: Result, n: int, c: int) -> str:
    given = result.prediction.probabilities
    return "" if given is None else f", {100 * given[n, c]:.0f} %"
