"""Texts for labels: prompt sets, articles and caption banks; label vectors."""

from __future__ import annotations

from zsprompt.prompts.articles import with_article
from zsprompt.prompts.caption_bank import Bank, Caption, available_banks, load_bank, save_bank
from zsprompt.prompts.labels import TextSpace, check_labels, label_vectors
from zsprompt.prompts.prompt_set import (
    NEUTRAL,
    LabelSet,
    PromptSet,
    available_prompts,
    load_prompts,
    neutral_words,
    parse_toml,
    prompts_folder,
)

__all__ = [
    "NEUTRAL",
    "Bank",
    "Caption",
    "LabelSet",
    "PromptSet",
    "TextSpace",
    "available_banks",
    "available_prompts",
    "check_labels",
    "label_vectors",
    "load_bank",
    "load_prompts",
    "neutral_words",
    "parse_toml",
    "prompts_folder",
    "save_bank",
    "with_article",
]
