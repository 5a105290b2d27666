"""ConSE for photographs, built from PyPI packages: for users who can reach a PyPI mirror only.

An image's embedding is the mean of the sentence embeddings of ImageNet's class names, weighted by a classifier's
probabilities for the image. The same sentence encoder embeds the texts. Nothing is downloaded.

Source: Norouzi et al. 2014, Zero-Shot Learning by Convex Combination of Semantic Embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from zsprompt._utils.arrays import Bools, Floats, Halves, unit_rows
from zsprompt.encoders.base import Encoder, Precision
from zsprompt.encoders.clip.products import check_precision
from zsprompt.encoders.conse import class_table
from zsprompt.encoders.conse.classifiers import PLACE, Classifier
from zsprompt.encoders.conse.fields import Fields
from zsprompt.encoders.conse.parts import require_installed
from zsprompt.encoders.conse.sentences import CONTEXT, DIM, TOKENIZER, WEIGHTS, Sentences, Tokeniser
from zsprompt.encoders.devices import pick_device
from zsprompt.encoders.windows import Grid
from zsprompt.errors import LabelError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

# benchmarks/constants.py compares values on every second of 500 VOC2007 test photos, and reports on the others.
CROP = 0.875
"""Share of the short side that is kept."""

TEMPERATURE = 2.0
"""Divides the logits before the softmax over the classes."""

CLASSES_KEPT = 50
"""Number of most probable classes that are averaged."""

LOGIT_SCALE = 20.0

# A place of the last feature map already sees much of its surroundings, so windows are smaller than for crops.
WINDOW = 4
STRIDE = 3
"""Places on a side of a window, and from one window to the next."""

# Of VOC2007's photographs with them, it finds less than a third, among 20 labels and among 3; see
# benchmarks/labels_asked.py. ImageNet has no class for people and houseplants. Other words for people are found on
# hardly any.
_OFTEN_MISSED = frozenset(
    "person people man men woman women child children boy girl baby face crowd pedestrian plant houseplant".split()
) | {"potted plant"}


class Conse(Encoder):
    """EfficientNet-Lite on ImageNet's 1,000 classes, and all-MiniLM-L6-v2 on their names. D = 384.

    Each network is loaded on first use. A run whose embeddings are all stored loads neither, and new images need only
    the classifier: the vectors of the class names are part of zsprompt.

    It is a SpatialEncoder, a WindowEncoder and a ClassEncoder. For windows, the classifier reads a larger image in one
    pass. A window's vector is that of the mean of its places, as if it were an image.

    Args:
        fields: see Fields.
        device: see load_encoder.
        precision: "auto" is float32; "bfloat16" (CPU only) rounds the factors of the classifier's convolutions.

    Raises:
        ModelError: an extra is not installed, a weights file is not the pinned one, or the machine cannot run the
            precision.
    """

    domain = "photographs"
    dim = DIM
    logit_scale = LOGIT_SCALE
    context_length: int | None = CONTEXT
    text_batch = 1024

    def __init__(self, fields: Fields | None = None, *, device: str = "auto", precision: Precision = "auto") -> None:
        fields = fields or Fields()
        check_conse(fields.model, device=device, precision=precision)
        self.name = fields.model
        self._weights = fields.weights
        self._device_option = device
        self._precision = precision
        self.image_size = max(one.size for one in self._weights)
        self.token_shape = 1 + sum((-(-one.size // PLACE)) ** 2 for one in self._weights), DIM
        self._places = fields.size // PLACE
        self.prefers_dense = True
        self.windows_key = f"conse-windows/1 size={fields.size} window={WINDOW} stride={STRIDE}"
        parts = [*(one.part for one in self._weights), WEIGHTS, TOKENIZER]
        files = (*(part.sha256 for part in parts), class_table.VECTORS_SHA256)
        self.fingerprint = (
            f"conse/4 {' '.join(sha256[:16] for sha256 in files)} crop={CROP} temperature={TEMPERATURE} "
            f"classes={CLASSES_KEPT} {'float32' if precision == 'auto' else precision}"
        )

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """[T, 384] float32, unit rows: the sentence encoder's mean over tokens.

        Raises:
            LabelError: a text has more than 256 tokens.
        """
        fit = self.fits(texts)
        if not fit.all():
            raise LabelError(
                f"expected texts of at most {CONTEXT} tokens, found more in {texts[int(np.argmin(fit))][:60]!r}…"
            )
        return self._sentences.encode(texts)

    def fits(self, texts: Sequence[str]) -> Bools:
        """[T] whether each text has at most 256 tokens, the two end markers included."""
        return self._tokens.fits(texts)

    def often_missed(self, labels: Sequence[str]) -> list[str]:
        """See Encoder."""
        return [label for label in labels if " ".join(label.casefold().split()) in _OFTEN_MISSED]

    def prepare(self, image: Image) -> Image:
        """The centre square, less a sixteenth of the short side at each edge: [S, S] RGB, bicubic."""
        return self.prepare_at(image, self.image_size)

    def prepare_at(self, image: Image, size: int) -> Image:
        """As `prepare`, for a square of `size`; see Resizable."""
        from PIL import Image as Pillow
        from PIL import ImageOps

        if image.size == (size, size):
            return image
        return ImageOps.fit(image, (size, size), Pillow.Resampling.BICUBIC, bleed=(1 - CROP) / 2)

    def encode_images(self, images: Sequence[Image]) -> Floats:
        """[N, 384] float32, unit rows."""
        if not images:
            return np.empty((0, self.dim), dtype=np.float32)
        return self._convex(self._classifier.logits([self.prepare(image) for image in images]))

    def encode_tokens(self, images: Sequence[Image]) -> tuple[Floats, Halves]:
        """See SpatialEncoder. A place is embedded like an image, from the classifier's logits for it alone."""
        if not images:
            return np.empty((0, self.dim), dtype=np.float32), np.empty((0, *self.token_shape), dtype=np.float16)
        logits = self._classifier.with_places([self.prepare(image) for image in images])
        vectors = self._convex(logits[:, 0])
        tokens = np.stack([self._convex(rows) for rows in logits]).astype(np.float16)
        tokens[:, 0] = vectors
        return vectors, tokens

    def grid(self, width: int, height: int) -> Grid:
        """See WindowEncoder: a place is 32 by 32 pixels of the larger image."""
        return Grid.of(width, height, places=self._places, window=WINDOW, stride=STRIDE)

    def prepare_windows(self, image: Image, grid: Grid) -> Image:
        """The whole image with 32 by 32 pixels per place of its grid, bicubic; see WindowEncoder."""
        from PIL.Image import Resampling

        size = PLACE * grid.columns, PLACE * grid.rows
        return image if image.size == size else image.resize(size, Resampling.BICUBIC)

    def encode_windows(self, images: Sequence[Image], grids: Sequence[Grid]) -> list[Halves]:
        """See WindowEncoder: [W, 384] float16, unit rows, for each prepared image."""
        rows = self._classifier.with_windows(images, grids)
        return [self.vectors_of(logits[1:].astype(np.float16)) for logits in rows]

    @property
    def class_texts(self) -> tuple[str, ...]:
        """See ClassEncoder: each class's name and five hypernyms of WordNet, joined by commas."""
        return tuple(one.described for one in class_table.image_classes())

    def encode_classes(self, images: Sequence[Image], grids: Sequence[Grid]) -> list[Halves]:
        """See ClassEncoder. Row 0 is the mean of two: the centre square, and the whole image squeezed to a square."""
        if not images:
            return []
        from PIL.Image import Resampling

        square = self.image_size, self.image_size
        views = [self.prepare(image) for image in images]
        views += [image.resize(square, Resampling.BICUBIC) for image in images]
        centre, squeezed = np.split(self._classifier.logits(views), 2)
        rows = self._classifier.with_windows(images, grids)
        whole = ((centre + squeezed) / 2)[:, None]
        return [np.concatenate(both).astype(np.float16) for both in zip(whole, rows, strict=True)]

    def vectors_of(self, logits: Halves) -> Halves:
        """See ClassEncoder: [n, 384] float16, unit rows, from logits [n, 1000]."""
        return self._convex(logits.astype(np.float32)).astype(np.float16)

    def _convex(self, logits: Floats) -> Floats:
        """[n, 384] unit rows: the class vectors, weighted by the softmax of logits [n, 1000]."""
        return unit_rows(self._weights_of(logits) @ self._class_vectors)

    @staticmethod
    def _weights_of(logits: Floats) -> Floats:
        """[n, 1000] in proportion to the probabilities; all but the CLASSES_KEPT largest of each row are 0."""
        lowest_kept = np.partition(logits, -CLASSES_KEPT, axis=1)[:, -CLASSES_KEPT, None]
        weights = np.exp((logits - logits.max(axis=1, keepdims=True)) / np.float32(TEMPERATURE))
        return np.where(logits >= lowest_kept, weights, np.float32(0))

    @cached_property
    def _device(self) -> str:
        device = pick_device(self._device_option)
        check_precision(device, self._precision)
        return device

    @cached_property
    def _classifier(self) -> Classifier:
        return Classifier(self._weights, self._device, self._precision)

    @cached_property
    def _sentences(self) -> Sentences:
        return Sentences(self._tokens, self._device)

    @cached_property
    def _tokens(self) -> Tokeniser:
        return Tokeniser()

    @cached_property
    def _class_vectors(self) -> Floats:
        """[1000, 384] the sentence embeddings of ImageNet's class names."""
        return class_table.class_vectors()


def load_conse(name: str = "conse", *, device: str = "auto", precision: Precision = "auto") -> Conse:
    """The encoder named conse[,field=value…]; see Conse and Fields."""
    return Conse(Fields.parse(name), device=device, precision=precision)


def check_conse(name: str, *, device: str, precision: Precision) -> None:
    """Raise what load_conse raises for its arguments and its packages. Reads no weights."""
    fields = Fields.parse(name)
    if precision == "int8":
        raise UsageError(
            f"expected an OpenAI CLIP model for precision int8, found model {name}; use precision=bfloat16"
        )
    require_installed([*(one.part for one in fields.weights), WEIGHTS, TOKENIZER], name)
