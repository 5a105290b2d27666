"""The OpenAI-compatible server, its model and its key, from options or the environment."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

import httpx

from zsprompt._utils.text import finite
from zsprompt.errors import LLMError, UsageError

# name -> (base URL, the provider's own variable for the key). Sources: the providers' documentation.
PRESETS = {
    "openai": ("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "qwen": ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY"),
    "qwen-cn": ("https://dashscope.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY"),
    "local": ("http://localhost:11434/v1", ""),
}
_MODELS = {"openai": "gpt-4o-mini", "qwen": "qwen-plus", "qwen-cn": "qwen-plus"}
# Models that see images, for hints. Sources: the providers' lists of models.
_VISION_MODELS = {"openai": "gpt-4o-mini", "qwen": "qwen3-vl-plus", "qwen-cn": "qwen3-vl-plus", "local": "qwen2.5vl"}
_ENDPOINT = "/chat/completions"


@dataclass(frozen=True)
class Server:
    """A server, a model and limits on requests. The key is in no repr.

    Attributes:
        base_url: URL without the final "/chat/completions".
        model: the server's name of the model.
        key: sent as a bearer token; "" sends none.
        timeout: seconds for a whole answer.
        concurrency: maximum number of concurrent requests.
        requests_per_minute, tokens_per_minute: limits; None for no limit.
        answer_tokens: maximum number of tokens in an answer; four times as many if thinking takes them all.
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
            raise UsageError("expected an LLM base URL without a key in it; set the key in ZSPROMPT_LLM_KEY")
        if not _is_url(self.base_url):
            raise UsageError(
                f"expected an LLM base URL such as https://host/v1 or one of {', '.join(PRESETS)}, "
                f"found {self.base_url!r}"
            )
        if any(mark.isspace() or not mark.isprintable() or not mark.isascii() for mark in self.key):
            raise UsageError("expected an LLM key of printable ASCII characters without spaces, found others")
        limits = (self.timeout, self.concurrency, self.answer_tokens, self.requests_per_minute, self.tokens_per_minute)
        for limit in limits:
            if limit is not None and not 0 < limit < math.inf:  # false for NaN too
                raise UsageError(f"expected LLM timeout, concurrency, answer length and limits above 0, found {limit}")

    @property
    def is_here(self) -> bool:
        """Whether the server runs on this machine."""
        host = httpx.URL(self.base_url).host
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @property
    def names_a_version(self) -> bool:
        """Whether the URL has a part such as /v1."""
        return bool(re.search(r"/v\d", httpx.URL(self.base_url).path))

    @property
    def vision_model(self) -> str:
        """A model of this server that sees images, as for --llm; else one of another server."""
        for preset, (url, _) in PRESETS.items():
            if url == self.base_url:
                return f"--llm {preset}:{_VISION_MODELS[preset]}"
        return " or ".join(f"--llm {preset}:{_VISION_MODELS[preset]}" for preset in ("openai", "qwen"))


def find_server(
    *,
    base_url: str | None = None,
    model: str | None = None,
    timeout: float | None = None,
    concurrency: int | None = None,
    requests_per_minute: float | None = None,
    tokens_per_minute: float | None = None,
    answer_tokens: int | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Server | None:
    """The server that the arguments or the environment name; None if neither names one.

    The variables are ZSPROMPT_LLM_BASE_URL, ZSPROMPT_LLM_MODEL, ZSPROMPT_LLM_KEY, ZSPROMPT_LLM_TIMEOUT and so on.
    Arguments take precedence.

    Args:
        base_url: a URL, or a preset: "openai", "qwen", "qwen-cn", "local".
        model: the server's name of the model. Every preset except "local" has a default.
        timeout: see Server.
        concurrency: see Server.
        requests_per_minute: see Server.
        tokens_per_minute: see Server.
        answer_tokens: see Server.
        environment: the environment variables.

    Raises:
        LLMError: a server is named without a model.
        UsageError: a URL or a number is invalid.
    """
    address = base_url or environment.get("ZSPROMPT_LLM_BASE_URL") or ""
    model = model or environment.get("ZSPROMPT_LLM_MODEL") or ""
    if not address and not model:
        return None
    address = address or _provider(environment)
    url, variable = PRESETS.get(address, (address, _key_variable(address)))
    model = model or _MODELS.get(address, "")
    if not model:
        raise LLMError(f"expected a model of {url}, found none; give --llm [SERVER:]MODEL or set ZSPROMPT_LLM_MODEL")
    arguments = {
        "timeout": timeout,
        "concurrency": concurrency,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "answer_tokens": answer_tokens,
    }
    numbers = {
        name: _number(environment, name.upper()) if value is None else value for name, value in arguments.items()
    }
    key = (environment.get("ZSPROMPT_LLM_KEY") or environment.get(variable) or "").strip()
    limits = {name: value for name, value in numbers.items() if value is not None}
    for name in ("concurrency", "answer_tokens"):
        if math.isfinite(limits.get(name, math.nan)):
            limits[name] = math.ceil(limits[name])
    return Server(url.rstrip("/").removesuffix(_ENDPOINT).rstrip("/"), model, key, **limits)  # type: ignore[arg-type]


def _provider(environment: Mapping[str, str]) -> str:
    """The preset for a model without a server: the first whose key is set, else "local"."""
    for name, (_, variable) in PRESETS.items():
        if variable and environment.get(variable):
            return name
    return "local"


def _key_variable(address: str) -> str:
    """The variable with the provider's key, if the URL is a preset's. A key must not go to another server."""
    if not _is_url(address):
        return ""
    url = httpx.URL(address)
    for preset, variable in PRESETS.values():
        known_url = httpx.URL(preset)
        if (url.scheme, url.host, url.port) == (known_url.scheme, known_url.host, known_url.port):
            return variable
    return ""


def _is_url(text: str) -> bool:
    """Whether requests can be sent to this URL. httpx checks more than urllib: ports, addresses, other scripts."""
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
        return finite(text)
    except ValueError:
        raise UsageError(f"expected a number in ZSPROMPT_LLM_{name}, found {text!r}") from None
