"""Which OpenAI-compatible server is asked, for which model, with which key: from options or the environment."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from zsprompt.errors import LLMError, UsageError

# name -> (base URL, the provider's own variable for the key). Sources: the providers' documentation.
PRESETS = {
    "openai": ("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "qwen": ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY"),
    "qwen-cn": ("https://dashscope.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY"),
    "local": ("http://localhost:11434/v1", ""),
}
_MODELS = {"openai": "gpt-4o-mini", "qwen": "qwen-plus", "qwen-cn": "qwen-plus"}


@dataclass(frozen=True)
class Server:
    """A server, a model, and how hard it may be asked. The key is in no repr.

    Attributes:
        base_url: up to and without "/chat/completions".
        model: as the server calls it.
        key: sent as a bearer token; none is sent where it is empty.
        timeout: seconds for a whole answer, however slowly it comes.
        concurrency: requests under way at a time.
        requests_per_minute, tokens_per_minute: limits; none where None.
        answer_tokens: longest answer asked for.
    """

    base_url: str
    model: str
    key: str = field(default="", repr=False)
    timeout: float = 60.0
    concurrency: int = 8
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    answer_tokens: int = 200

    def __post_init__(self) -> None:
        if any(mark in self.base_url for mark in "@?#"):
            raise UsageError("expected an LLM base URL without a key in it; give the key in ZSPROMPT_LLM_KEY")
        if not _is_url(self.base_url):
            raise UsageError(
                f"expected an LLM base URL such as https://host/v1 or one of {', '.join(PRESETS)}, "
                f"found {self.base_url!r}"
            )
        if any(mark.isspace() or not mark.isprintable() or not mark.isascii() for mark in self.key):
            raise UsageError("expected an LLM key without blanks or other marks that a header cannot hold")
        limits = (self.timeout, self.concurrency, self.answer_tokens, self.requests_per_minute, self.tokens_per_minute)
        for limit in limits:
            if limit is not None and not 0 < limit < math.inf:  # which nothing that is no number is
                raise UsageError(f"expected LLM timeout, concurrency, answer length and limits above 0, found {limit}")


def find_server(
    *,
    base_url: str | None = None,
    model: str | None = None,
    timeout: float | None = None,
    concurrency: int | None = None,
    requests_per_minute: float | None = None,
    tokens_per_minute: float | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Server | None:
    """The server that the arguments, else ZSPROMPT_LLM_BASE_URL, _MODEL, _KEY, _TIMEOUT …, name; None if nothing does.

    Args:
        base_url: a URL, or a preset: "openai", "qwen", "qwen-cn", "local".
        model: as the server calls it; the presets but "local" have a default.
        timeout: see Server, as for
        concurrency: and
        requests_per_minute: and
        tokens_per_minute: each.
        environment: where variables are looked up.

    Raises:
        LLMError: a server without a model.
        UsageError: a URL or number that is none.
    """
    place = base_url or environment.get("ZSPROMPT_LLM_BASE_URL") or ""
    model = model or environment.get("ZSPROMPT_LLM_MODEL") or ""
    if not place and not model:
        return None
    place = place or _provider(environment)
    url, variable = PRESETS.get(place, (place, _variable(place)))
    model = model or _MODELS.get(place, "")
    if not model:
        raise LLMError(f"expected a model to ask {url} for, found none; give --llm-model or ZSPROMPT_LLM_MODEL")
    asked = {
        "timeout": timeout,
        "concurrency": concurrency,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
    }
    numbers = {name: _number(environment, name.upper()) if value is None else value for name, value in asked.items()}
    key = (environment.get("ZSPROMPT_LLM_KEY") or environment.get(variable) or "").strip()
    given = {name: value for name, value in numbers.items() if value is not None}
    if math.isfinite(given.get("concurrency", math.nan)):
        given["concurrency"] = math.ceil(given["concurrency"])
    return Server(url.rstrip("/"), model, key, **given)  # type: ignore[arg-type]


def _provider(environment: Mapping[str, str]) -> str:
    """The preset whose key is there, where only a model was named."""
    for name, (_, variable) in PRESETS.items():
        if variable and environment.get(variable):
            return name
    return "local"


def _variable(url: str) -> str:
    """The provider's own variable, where a URL is that of a preset: a key must not go to another server."""
    if not _is_url(url):
        return ""
    found = httpx.URL(url)
    for preset, variable in PRESETS.values():
        own = httpx.URL(preset)
        if (found.scheme, found.host, found.port) == (own.scheme, own.host, own.port):
            return variable
    return ""


def _is_url(text: str) -> bool:
    """Whether requests can be sent there. httpx looks closer than urllib: at ports, addresses and foreign scripts."""
    try:
        url = httpx.URL(text)
        return url.scheme in ("http", "https") and bool(url.host) and (url.port is None or 0 < url.port < 2**16)
    except (httpx.InvalidURL, ValueError):
        return False


def _number(environment: Mapping[str, str], name: str) -> float | None:
    text = environment.get(f"ZSPROMPT_LLM_{name}")
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"expected a number in ZSPROMPT_LLM_{name}, found {text!r}") from None
