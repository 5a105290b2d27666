"""The LLM to ask and its limits as one text: [SERVER:]MODEL[,field=value…]."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, fields
from pathlib import Path

from zsprompt._utils.byte_cache import default_cache
from zsprompt._utils.progress import Progress, quiet
from zsprompt._utils.specs import construct, split_fields
from zsprompt.errors import UnknownName, UsageError
from zsprompt.llm.answers import Answers, answers_folder
from zsprompt.llm.captions import Captions
from zsprompt.llm.client import ChatClient
from zsprompt.llm.server import PRESETS, find_server
from zsprompt.llm.writer import Budget, Writer
from zsprompt.prompts.caption_bank import Bank, load_bank

FORM = "[SERVER:]MODEL[,field=value…]"

_NEARLY = 0.75
"""Similarity from which a name counts as a misspelt preset. No model that servers offer by name comes as close."""


@dataclass(frozen=True)
class LlmOptions:
    """The parts of a text such as "qwen:qwen-plus,max_calls=500".

    Attributes:
        url: a URL, or a preset: "openai", "qwen", "qwen-cn", "local". If empty, the environment's.
        model: its name on the server. If empty, the environment's.
        timeout: seconds for a whole answer.
        max_calls: maximum number of requests; stored answers need none.
        max_tokens: maximum number of tokens, approximately.
        concurrency: number of simultaneous requests.
        requests_per_minute: rate limit; None for no limit.
        tokens_per_minute: rate limit; None for no limit.
        answer_tokens: maximum number of tokens in an answer; None for 200.
        offline: send nothing; use stored answers only.
    """

    url: str = ""
    model: str = ""
    timeout: float | None = None
    max_calls: int | None = None
    max_tokens: int | None = None
    concurrency: int | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    answer_tokens: int | None = None
    offline: bool = False

    def __post_init__(self) -> None:
        for name in ("max_calls", "max_tokens"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise UsageError(f"expected {name} of at least 0 for the LLM, found {value}")

    @property
    def names_a_server(self) -> bool:
        """Whether the text names a server or a model itself."""
        return bool(self.url or self.model)


def parse_llm(text: str) -> LlmOptions:
    """The options that a text describes.

    Args:
        text: "gpt-4o-mini", "qwen:qwen-plus,max_calls=500", "local:qwen2.5vl:7b", or fields alone:
            "url=http://host/v1,model=my-model".

    Raises:
        UsageError: a field without a value, a repeated field, or a value of the wrong type.
        UnknownName: no such field, or a server that is nearly the name of a preset.
    """
    head, *rest = text.split(",")
    if "=" in head:
        head, rest = "", [head, *rest]
    if "://" in head or head.startswith(":"):  # no model's name; a server elsewhere would be asked for it
        raise UsageError(f"expected {FORM} or url=URL,model=MODEL for the LLM, found {text!r}")
    settings = split_fields(rest, text)
    if blank := [name for name, value in settings.items() if not value]:
        raise UsageError(f"expected a value for {blank[0]} of the LLM, found none in {text!r}")
    server, colon, model = head.strip().partition(":")
    if "url" not in settings:
        _refuse_misspelt(server)
    if not (colon and server in PRESETS):
        server, model = ("", head.strip()) if head.strip() not in PRESETS else (head.strip(), "")
    for name, value in (("url", server), ("model", model)):
        if value and name in settings:
            raise UsageError(f"expected one {name} for the LLM, found {value!r} and {settings[name]!r} in {text!r}")
        if value:
            settings[name] = value
    options: LlmOptions = construct(LlmOptions, settings, name="--llm")
    return options


def _refuse_misspelt(server: str) -> None:
    """Raise UnknownName for a server that is nearly a preset's name: a local model of that name is less likely.

    Names with digits are those of models, such as "qwen3:8b". `model=NAME` takes any name.
    """
    if server in PRESETS or not re.fullmatch("[A-Za-z_-]+", server):
        return
    if difflib.get_close_matches(server.lower(), PRESETS, n=1, cutoff=_NEARLY):
        raise UnknownName("LLM server", server, PRESETS)


def llm_text(options: LlmOptions) -> str:
    """The text that `parse_llm` reads back: the fields that differ from their defaults."""
    changed = {part.name: getattr(options, part.name) for part in fields(options)}
    given = {name: value for name, value in changed.items() if value is not None and value is not False and value != ""}
    return ",".join(f"{name}={'yes' if value is True else value}" for name, value in given.items())


def open_writer(options: LlmOptions, *, cache: Path | None = None, progress: Progress = quiet) -> Writer | None:
    """A writer for the server that `options` or the environment name; None if neither names one.

    Args:
        options: server, model, limits and budget.
        cache: folder of embeddings, next to which answers are stored; None for the default one.
        progress: where progress is shown.

    Raises:
        LLMError: a server without a model.
        UsageError: an invalid URL or number.
    """
    server = find_server(
        base_url=options.url or None,
        model=options.model or None,
        timeout=options.timeout,
        concurrency=options.concurrency,
        requests_per_minute=options.requests_per_minute,
        tokens_per_minute=options.tokens_per_minute,
        answer_tokens=options.answer_tokens,
    )
    if server is None:
        return None
    answers = Answers(answers_folder(cache or default_cache()))
    budget = Budget(options.max_calls, options.max_tokens)
    return Writer(ChatClient(server), answers, budget=budget, offline=options.offline, progress=progress)


def captions_from(bank: str | Bank | None, writer: Writer | None) -> Captions | None:
    """Captions from a bank (or its name), and from a server for those that it lacks; None without either.

    Raises:
        UnknownName, CaptionError: see `load_bank`.
    """
    loaded = load_bank(bank) if isinstance(bank, str) else bank
    if writer is not None:
        return Captions.written_by(writer, loaded)
    return None if loaded is None else Captions(loaded)
