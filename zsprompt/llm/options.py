"""Which LLM to ask and how much of it, as one text: [SERVER:]MODEL[,field=value…]."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from zsprompt._utils.byte_cache import default_cache
from zsprompt._utils.progress import Progress, quiet
from zsprompt._utils.specs import construct, split_fields
from zsprompt.errors import UsageError
from zsprompt.llm.answers import Answers, answers_folder
from zsprompt.llm.captions import Captions
from zsprompt.llm.client import ChatClient
from zsprompt.llm.server import PRESETS, find_server
from zsprompt.llm.writer import Budget, Writer
from zsprompt.prompts.caption_bank import Bank, load_bank

FORM = "[SERVER:]MODEL[,field=value…]"


@dataclass(frozen=True)
class LlmOptions:
    """What a text such as "qwen:qwen-plus,max_calls=500" asks for.

    Attributes:
        url: a URL, or a preset: "openai", "qwen", "qwen-cn", "local". The environment's where empty.
        model: as the server calls it; the environment's where empty.
        timeout: seconds for a whole answer.
        max_calls: most requests; answers that are kept cost none.
        max_tokens: most tokens, roughly.
        concurrency: requests under way at a time.
        requests_per_minute: limit; none where None.
        tokens_per_minute: limit; none where None.
        offline: send nothing; answers that are kept still count.
    """

    url: str = ""
    model: str = ""
    timeout: float | None = None
    max_calls: int | None = None
    max_tokens: int | None = None
    concurrency: int | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    offline: bool = False

    def __post_init__(self) -> None:
        for name in ("max_calls", "max_tokens"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise UsageError(f"expected {name} of at least 0 for the LLM, found {value}")

    @property
    def names_a_server(self) -> bool:
        """Whether a server or a model is named here, not only in the environment."""
        return bool(self.url or self.model)


def parse_llm(text: str) -> LlmOptions:
    """The options that a text stands for.

    Args:
        text: "gpt-4o-mini", "qwen:qwen-plus,max_calls=500", "local:qwen2.5vl:7b", or fields alone:
            "url=http://host/v1,model=my-model".

    Raises:
        UsageError: a field without a value or twice, or a value of another type.
        UnknownName: no such field.
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
    if not (colon and server in PRESETS):
        server, model = ("", head.strip()) if head.strip() not in PRESETS else (head.strip(), "")
    for name, value in (("url", server), ("model", model)):
        if value and name in settings:
            raise UsageError(f"expected one {name} for the LLM, found {value!r} and {settings[name]!r} in {text!r}")
        if value:
            settings[name] = value
    options: LlmOptions = construct(LlmOptions, settings, name="--llm")
    return options


def llm_text(options: LlmOptions) -> str:
    """What `parse_llm` reads back: the fields that differ from their defaults."""
    changed = {part.name: getattr(options, part.name) for part in fields(options)}
    given = {name: value for name, value in changed.items() if value is not None and value is not False and value != ""}
    return ",".join(f"{name}={'yes' if value is True else value}" for name, value in given.items())


def open_writer(options: LlmOptions, *, cache: Path | None = None, progress: Progress = quiet) -> Writer | None:
    """The writer that asks the server which `options` or the environment name; None where neither names one.

    Args:
        options: server, model, limits and budget.
        cache: the folder next to which answers are kept; by default that of embeddings.
        progress: where progress is shown.

    Raises:
        LLMError: a server without a model.
        UsageError: a URL or number that is none.
    """
    server = find_server(
        base_url=options.url or None,
        model=options.model or None,
        timeout=options.timeout,
        concurrency=options.concurrency,
        requests_per_minute=options.requests_per_minute,
        tokens_per_minute=options.tokens_per_minute,
    )
    if server is None:
        return None
    answers = Answers(answers_folder(cache or default_cache()))
    budget = Budget(options.max_calls, options.max_tokens)
    return Writer(ChatClient(server), answers, budget=budget, offline=options.offline, progress=progress)


def captions_from(bank: str | Bank | None, writer: Writer | None) -> Captions | None:
    """Captions of a bank, by name or ready, and of a server for what it lacks; None where there is neither.

    Raises:
        UnknownName, CaptionError: see `load_bank`.
    """
    loaded = load_bank(bank) if isinstance(bank, str) else bank
    if writer is not None:
        return Captions.written_by(writer, loaded)
    return None if loaded is None else Captions(loaded)
