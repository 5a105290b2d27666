"""The table of adapters: from a specification to a kind and back."""

from __future__ import annotations

from zsprompt._utils.registry import Table
from zsprompt._utils.specs import construct, field_names, settings_of, split_spec
from zsprompt.adapters.kinds.base import Kind
from zsprompt.errors import UnknownName

ADAPTERS = Table(
    {
        "fc": "zsprompt.adapters.kinds.fc:FcSpec",
        "mld": "zsprompt.adapters.kinds.mld:MldSpec",
        "ml-decoder": "zsprompt.adapters.kinds.ml_decoder:MlDecoderSpec",
        "dm-decoder": "zsprompt.adapters.kinds.dm_decoder:DmDecoderSpec",
        "fusion": "zsprompt.adapters.kinds.fusion:FusionSpec",
        "linear-probe": "zsprompt.adapters.kinds.linear_probe:LinearProbeSpec",
        "knn": "zsprompt.adapters.kinds.knn:KnnSpec",
        "forest": "zsprompt.adapters.kinds.forest:ForestSpec",
        "self-training": "zsprompt.adapters.kinds.self_training:SelfTrainingSpec",
    }
)
"""Built-in kinds. The contract tests cover this table."""


def available_adapters() -> dict[str, str]:
    """The kinds that `load_kind` knows, each with the first line of its docstring and its fields."""
    return {
        name: f"{(kind.__doc__ or '').splitlines()[0]} Fields: {', '.join(field_names(kind)) or 'none'}."
        for name, kind in ADAPTERS.items()
    }


def load_kind(text: str) -> Kind:
    """The kind of a specification NAME[,field=value…], such as "mld,blocks=2,tokens=spatial".

    Raises:
        UnknownName: no such kind or field.
        UsageError: an invalid value for a field.
    """
    name, settings = split_spec(text)
    if name not in ADAPTERS:
        raise UnknownName("adapter", name, ADAPTERS)
    kind: Kind = construct(ADAPTERS[name], settings)
    return kind


def name_of(kind: Kind) -> str:
    """The name of a kind in the table. Raises UnknownName for a class that is not in it."""
    name = ADAPTERS.name_of(type(kind))
    if name is None:
        raise UnknownName("adapter", type(kind).__name__, ADAPTERS)
    return name


def spec_of(kind: Kind) -> str:
    """The specification that `load_kind` reads, with the fields that differ from their defaults."""
    return ",".join([name_of(kind), *(f"{field}={text}" for field, text in settings_of(kind).items())])
