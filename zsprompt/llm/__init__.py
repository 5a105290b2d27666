"""Captions written by an LLM, for label sets and for images, through an OpenAI-compatible client."""

from __future__ import annotations

from zsprompt.llm.answers import Answers, answers_folder
from zsprompt.llm.captions import Captions, Plan, Wording
from zsprompt.llm.client import ChatClient
from zsprompt.llm.image_captions import ImageCaptions, caption_images
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
    "ImageCaptions",
    "Plan",
    "Server",
    "Wording",
    "Writer",
    "Written",
    "answers_folder",
    "available_banks",
    "caption_images",
    "find_server",
    "load_bank",
    "save_bank",
]
