"""The contract of a strategy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from zsprompt._utils.arrays import Bools, Floats, unit_rows
from zsprompt._utils.progress import Progress
from zsprompt.errors import ContractError, ZspromptError
from zsprompt.prompts.labels import TextSpace, class_texts
from zsprompt.store import Images
from zsprompt.store.image_embeddings import TokenArray
from zsprompt.strategies import Prediction, Strategy, reads, supervision
from zsprompt.testing.contract import require, require_array, require_close
from zsprompt.testing.planted_encoder import LABELS
from zsprompt.testing.random_space import RandomSpace, random_images

_IMAGES = 6
_SUPERVISION = ("label-free", "transductive", "tuned", "trained", "not declared")
_SHORT = 12  # maximum number of characters in a text that fits the short context


def check_strategy(
    strategy: Strategy,
    *,
    labels: Sequence[str] = LABELS,
    texts: TextSpace | None = None,
    images: Images | None = None,
    tolerance: float = 1e-4,
) -> None:
    """Check that a strategy fulfils the contract of `zsprompt.Strategy`. Takes well under a second for most.

    The clauses:

    - The strategy is a frozen dataclass.
    - Scores are [N, C] float32 and finite, decisions [N, C] bool.
    - `predict` does not change the image vectors.
    - Repeated calls give equal predictions.
    - No images give no rows.
    - Permuting the labels permutes the columns.
    - Each row depends on its own image only, unless the strategy is transductive.
    - One, two or three labels give a finite prediction or one of the package's errors.
    - Only texts that fit the encoder are encoded.

    Args:
        strategy: the strategy to check.
        labels: C labels to predict; the training labels for a strategy that predicts no others.
        texts: embeds texts; random vectors by default.
        images: at least 2 images in the same space; random vectors, tokens and captions by default.
        tolerance: largest difference between scores that should be equal, absolute and relative.

    Raises:
        ContractError: a clause does not hold. The message says what was expected and what was found.
    """
    labels, texts = tuple(labels), texts or RandomSpace()
    images = images or _random_images(strategy)
    _check_recipe(strategy)
    before = images.vectors.copy()
    answer = _check_answer(strategy, images, labels, texts)
    require(np.array_equal(images.vectors, before), "read only", "images.vectors to stay unchanged", "a change")
    _check_repeatable(strategy, images, labels, texts, answer)
    _check_no_images(strategy, images, labels, texts)
    _check_permuted(strategy, images, labels, texts, answer, tolerance)
    if supervision(strategy) != "transductive":
        _check_rows(strategy, images, labels, texts, answer, tolerance)
    _check_few_labels(strategy, images, labels, texts)
    _check_short_context(strategy, images, labels, texts)


class _ShortSpace:
    """A TextSpace that raises ContractError for all but short texts."""

    def __init__(self, inner: TextSpace) -> None:
        self._inner = inner
        self.logit_scale = inner.logit_scale
        self.fingerprint = inner.fingerprint
        self.class_texts = tuple(text[:_SHORT] for text in class_texts(inner))

    @property
    def progress(self) -> Progress:
        return self._inner.progress

    def texts(self, texts: Sequence[str], *, keep: bool = True) -> Floats:
        fit = self.fits(texts)
        if not fit.all():
            long = texts[int(np.argmin(fit))]
            raise ContractError("fits", f"expected only texts that fit the encoder's context, found {long[:80]!r}")
        return self._inner.texts(texts, keep=keep)

    def fits(self, texts: Sequence[str]) -> Bools:
        short = np.array([len(text) <= _SHORT for text in texts], dtype=np.bool_)
        return np.asarray(self._inner.fits(texts) & short, dtype=np.bool_)


def _random_images(strategy: Strategy) -> Images:
    """Random images with everything that the strategy reads."""
    images = random_images(_IMAGES)
    random, dim = np.random.default_rng(1), images.vectors.shape[1]
    parts = reads(strategy)
    tokens = (
        TokenArray(unit_rows(random.normal(size=(_IMAGES, 3, dim))).astype(np.float16)) if "tokens" in parts else None
    )
    captions = unit_rows(random.normal(size=(_IMAGES, 2, dim))) if "captions" in parts else None
    return dataclasses.replace(images, tokens=tokens, captions=captions)


def _check_recipe(strategy: Strategy) -> None:
    expected, found = "a frozen dataclass whose fields determine its predictions", type(strategy).__name__
    made = dataclasses.is_dataclass(strategy) and not isinstance(strategy, type)
    require(made, "frozen dataclass", expected, f"the class {strategy}" if isinstance(strategy, type) else found)
    try:
        hash(strategy)
    except TypeError as error:
        raise ContractError("frozen dataclass", f"expected {expected}, found {found}: {error}") from None
    stated = supervision(strategy)
    require(stated in _SUPERVISION, "supervision", f"supervision to be one of {_SUPERVISION[:4]}", repr(stated))


def _check_answer(strategy: Strategy, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
    """The prediction, after a check of its shapes, types and values."""
    answer = strategy.predict(images, labels, texts)
    require(isinstance(answer, Prediction), "prediction", "a zsprompt.Prediction", type(answer).__name__)
    shape = len(images), len(labels)
    require_array(answer.scores, "scores", "scores", shape, np.float32)
    require_array(answer.decisions, "decisions", "decisions", shape, np.bool_)
    require(answer.overflowed >= 0, "overflowed", "a count of candidates left out", answer.overflowed)
    if answer.probabilities is not None:
        require_array(answer.probabilities, "probabilities", "probabilities", shape, np.float32)
        inside = (answer.probabilities >= 0) & (answer.probabilities <= 1)
        require(bool(inside.all()), "probabilities", "probabilities from 0 to 1", f"{int((~inside).sum())} others")
    return answer


def _require_same(actual: Prediction, expected: Prediction, clause: str, what: str, tolerance: float) -> None:
    require_close(actual.scores, expected.scores, clause, f"the same scores {what}", tolerance)
    different = int((actual.decisions != expected.decisions).sum())
    require(not different, clause, f"the same decisions {what}", f"{different} different ones")


def _check_repeatable(
    strategy: Strategy, images: Images, labels: Sequence[str], texts: TextSpace, answer: Prediction
) -> None:
    again = strategy.predict(images, labels, texts)
    same = np.array_equal(again.scores, answer.scores) and np.array_equal(again.decisions, answer.decisions)
    require(same, "deterministic", "equal predictions from equal calls", "different ones")


def _check_no_images(strategy: Strategy, images: Images, labels: Sequence[str], texts: TextSpace) -> None:
    answer = strategy.predict(images.read([]), labels, texts)
    shapes, expected = (answer.scores.shape, answer.decisions.shape), (0, len(labels))
    require(shapes == (expected, expected), "no images", f"shapes {expected} for no images", shapes)


def _check_permuted(
    strategy: Strategy,
    images: Images,
    labels: Sequence[str],
    texts: TextSpace,
    answer: Prediction,
    tolerance: float,
) -> None:
    columns = np.arange(len(labels))
    for order in (np.roll(columns, 1), columns[::-1]):  # the first moves every label
        permuted = strategy.predict(images, [labels[c] for c in order], texts)
        expected = Prediction(answer.scores[:, order], answer.decisions[:, order])
        _require_same(permuted, expected, "label order", "per label in any order of the labels", tolerance)


def _check_rows(
    strategy: Strategy,
    images: Images,
    labels: Sequence[str],
    texts: TextSpace,
    answer: Prediction,
    tolerance: float,
) -> None:
    for row in range(len(images)):
        alone = strategy.predict(images.read([row]), labels, texts)
        expected = Prediction(answer.scores[[row]], answer.decisions[[row]])
        what = "for an image alone and among others (a strategy that looks at other images is transductive)"
        _require_same(alone, expected, "row independence", what, tolerance)


def _check_few_labels(strategy: Strategy, images: Images, labels: Sequence[str], texts: TextSpace) -> None:
    for count in range(1, min(3, len(labels)) + 1):
        try:
            _check_answer(strategy, images, labels[:count], texts)
        except ContractError:
            raise
        except ZspromptError:
            pass  # a refusal is allowed
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
            raise ContractError("few labels", f"expected a prediction or a ZspromptError, found {found}") from error


def _check_short_context(strategy: Strategy, images: Images, labels: Sequence[str], texts: TextSpace) -> None:
    try:
        _check_answer(strategy, images, labels, _ShortSpace(texts))
    except ContractError:
        raise
    except ZspromptError:
        pass  # a refusal is allowed
