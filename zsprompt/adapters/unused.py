"""Settings that a kind of adapter does not use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from zsprompt.adapters.kinds.base import Kind
from zsprompt.adapters.registry import name_of
from zsprompt.adapters.schedule import Schedule
from zsprompt.errors import UsageError


def refuse_unused(kind: Kind, schedule: Schedule, given: Sequence[str], *, draws: bool, validates: bool) -> None:
    """Raise UsageError for the first setting that a training run does not use.

    Args:
        kind: the kind to train.
        schedule: the settings of the training run.
        given: names of the given settings: fields of Schedule, "seeds", "prompts", and "image captions".
        draws: whether a seed draws images to train on or to validate with.
        validates: whether there can be validation images.
    """
    name = name_of(kind)
    at_once = f"{name} is fitted in one step, without epochs"
    random = ("seed" in kind.settings or draws, f"{name} draws nothing at random")
    facts = {
        **{part.name: (part.name in kind.settings, at_once) for part in fields(Schedule)},
        "seed": random,
        "seeds": random,
        "prompts": (kind.reads_texts, f"{name} reads no texts of labels"),
        "image captions": ("captions" in kind.reads, f"{name} reads no image captions"),
    }
    if kind.has_epochs:
        facts["selective"] = (not kind.bound, f"{name} has weights per label, which cannot learn from a few labels")
        facts["clip_weight"] = (schedule.loss.endswith("+clip"), f"loss {schedule.loss} has no contrastive part")
        facts["patience"] = (validates, "it counts epochs by the mAP on validation images, and there are none")
    for setting in given:
        used, reason = facts[setting]
        if not used:
            raise UsageError(f"adapter {name} does not use {setting}: {reason}; leave it out")
