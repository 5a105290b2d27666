"""An LLM as a Phrasing: caption banks, an OpenAI-compatible client, and what makes a caption fit to be embedded."""

from __future__ import annotations

from zsprompt.llm.bank import Bank, Caption, available_banks, load_bank, save_bank
from zsprompt.llm.captions import Captions, Wording

__all__ = [
    "Bank",
    "Caption",
    "Captions",
    "Wording",
    "available_banks",
    "load_bank",
    "save_bank",
]
