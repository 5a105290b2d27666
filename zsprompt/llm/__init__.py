"""An LLM as a Phrasing and as an eye: caption banks, an OpenAI-compatible client, and captions of pictures."""

from __future__ import annotations

from zsprompt.llm.answers import Answers, answers_folder
from zsprompt.llm.captions import Captions, Plan, Wording
from zsprompt.llm.client import ChatClient
from zsprompt.llm.image_captions import Described, describe_pictures
from zsprompt.llm.server import PRESETS, Server, find_server
from zsprompt.llm.writer import Budget, Writer, Written
from zsprompt.prompts.caption_bank import Bank, Caption, available_banks, load_bank, save_bank

__all__ = [
    "PRESETS",
    "Answers",
    "Bank",
    "Budget",
    "Caption",
    "Captions",
    "ChatClient",
    "Described",
    "Plan",
    "Server",
    "Wording",
    "Writer",
    "Written",
    "answers_folder",
    "available_banks",
    "describe_pictures",
    "find_server",
    "load_bank",
    "save_bank",
]
