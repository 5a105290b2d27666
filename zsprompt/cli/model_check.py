"""zsprompt models check: whether a model's weights give the embeddings that are published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from zsprompt._utils.specs import construct, split_spec
from zsprompt.cli.options import Json, argument, option
from zsprompt.cli.session import notes, refusals
from zsprompt.errors import ModelError

if TYPE_CHECKING:
    from zsprompt.encoders import Encoder, Precision
    from zsprompt.encoders.published import Comparison


@dataclass(frozen=True)
class _DeviceFields:
    """What may follow the device."""

    precision: str = "auto"


def check(
    name: Annotated[str, argument("A model, as --model takes it.", "NAME")],
    device: Annotated[str, option("auto, cpu or cuda. Field: precision (auto, bfloat16 or int8).")] = "auto",
    json: Json = False,
) -> None:
    """Embed an image of a diagram and three texts, and compare with what is published for OpenAI's ViT-B/32.

    The status is 1 if a name of OpenAI's ViT-B/32 does not give the published vectors.
    """
    with refusals():
        from zsprompt._utils.files import to_json
        from zsprompt.encoders.published import compare_published, is_published

        encoder, precision = _load(name, device)
        found = compare_published(encoder, precision)
        if json:
            typer.echo(to_json(_as_json(name, encoder, found)))
        else:
            typer.echo("\n".join(_lines(found)))
            notes(_verdict(name, found))
        if is_published(name) and not found.same:
            raise ModelError(f"expected the published vectors from {name}, found {_different(found)}")


def _load(name: str, device: str) -> tuple[Encoder, Precision]:
    """The model, and the precision that follows the device."""
    from zsprompt.encoders import load_encoder

    kind, settings = split_spec(device)
    fields = construct(_DeviceFields, settings, name="--device")
    precision = cast("Precision", fields.precision)
    return load_encoder(name, device=kind.strip(), precision=precision), precision


def _lines(found: Comparison) -> Iterator[str]:
    """A table with a row per text, and the cosine of the image's vectors."""
    from zsprompt.encoders.published import PUBLISHED_PROBABILITIES, PUBLISHED_TEXTS
    from zsprompt.report.terminal import text_table

    columns = {"text": list(PUBLISHED_TEXTS), "cosine to\nthe image": _figures(found.cosines, 4)}
    if found.probabilities is not None:
        columns["probability"] = _figures(found.probabilities, 4)
    columns["published\nprobability"] = _figures(PUBLISHED_PROBABILITIES, 4)
    if found.text_cosines is not None:
        columns["cosine to the\npublished text"] = _figures(found.text_cosines, 5)
    yield text_table(list(columns), list(zip(*columns.values(), strict=True)))
    if found.image_cosine is not None:
        yield f"cosine to the published vector of the image: {found.image_cosine:.5f}"


def _figures(values: Iterable[float], digits: int) -> list[str]:
    return [f"{value:.{digits}f}" for value in values]


def _verdict(name: str, found: Comparison) -> Iterator[str]:
    """What the figures say about the weights."""
    from zsprompt.encoders.published import is_published

    if found.same:
        yield f"{name} gives the published vectors of OpenAI's ViT-B/32, up to rounding"
    elif not is_published(name):
        yield f"{name} is not OpenAI's ViT-B/32, the only model with published vectors here"
    if not found.finds_diagram:
        yield (
            "the image is a diagram, but it is not nearest to that text: expect this of a model that was not trained "
            "on photographs and English texts; of any other, its weights or preprocessing are wrong"
        )


def _different(found: Comparison) -> str:
    if found.same_texts:
        return "another for the image: the image tower's weights or the preprocessing are wrong"
    if found.same_image:
        return "others for the texts: the text tower's weights or the tokeniser are wrong"
    return "others for image and texts: the weights are damaged, of another model or of another activation"


def _as_json(name: str, encoder: Encoder, found: Comparison) -> dict[str, Any]:
    from zsprompt.encoders.published import PUBLISHED_PROBABILITIES, PUBLISHED_TEXTS

    return {
        "model": name,
        "fingerprint": encoder.fingerprint,
        "texts": list(PUBLISHED_TEXTS),
        "cosines": found.cosines.tolist(),
        "probabilities": None if found.probabilities is None else found.probabilities.tolist(),
        "published_probabilities": list(PUBLISHED_PROBABILITIES),
        "image_cosine_to_published": found.image_cosine,
        "text_cosines_to_published": None if found.text_cosines is None else found.text_cosines.tolist(),
        "same_as_published": found.same,
        "finds_diagram": found.finds_diagram,
    }
