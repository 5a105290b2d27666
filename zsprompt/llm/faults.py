"""What can go wrong with a request, as one table: how servers state it, whether it passes, and what to do.

Servers agree on no code. A fault is found by phrases that leave no doubt, then by the codes and types of an error, then
by servers' other phrases, then by the HTTP status. Sources: the documentation of servers and providers, and reports of
their users.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from zsprompt.llm.responses import Problem


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


@dataclass(frozen=True)
class Fault:
    """A kind of failure.

    Attributes:
        name: what happened to one request, in two or three words.
        says: the message. Its fields are url, model, shown (what the server said), version and vision (hints).
        passing: whether the same request may succeed later.
        stops: number of requests in a row, for different items, after which it is no use to go on: before the first
            answer, and after it. None for never.
        statuses: HTTP statuses, from and to.
        codes: parts of an error's codes and types. Only letters and digits count; a number must be equal. The HTTP
            status is one of the codes.
        phrases: patterns in an error's messages.
        sure: patterns in an error's messages that count more than any code.
        finishes: reasons for the end of an answer that mean the same.
        with_images: whether the phrases mean this only if an image was sent.
    """

    name: str
    says: str
    passing: bool = False
    stops: tuple[int | None, int | None] = (1, 1)
    statuses: tuple[tuple[int, int], ...] = ()
    codes: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    sure: tuple[str, ...] = ()
    finishes: tuple[str, ...] = ()
    with_images: bool = False

    @property
    def for_all(self) -> bool:
        """Whether every other request would fail too."""
        return self.stops == (1, 1)


FILTERED = Fault(
    "content filter",
    "{url} refused the request: content filter ({shown})",
    stops=(None, None),
    codes=_words(
        "content_filter content_policy data_inspection_failed ResponsibleAIPolicy moderation_blocked "
        "invalid_prompt sensitive prohibited_content safety 1301"
    ),
    phrases=(
        r"inappropriate content",
        r"content.management.policy",
        r"content[ _-]?(filter|polic|moderation)",
        r"usage polic",
        r"safety (system|filter|polic|setting)",
        r"\bflagged\b",
        r"data.?inspection",
        r"(considered|content exists) (high )?risk",
        r"sensitive (content|information|word)",
        r"prohibited.?content",
        r"敏感|违规|违禁",
    ),
    finishes=_words(
        "content_filter content-filter sensitive safety recitation prohibited_content blocklist spii refusal "
        "image_safety image_prohibited_content image_recitation"
    ),
)
_IMAGES = r"(images?|image.?url|vision|multi-?modal)"
_OF_REQUESTS = r"(inputs?|contents?|types?|data|messages?|prompts?|modality|is|are|currently|yet)"
_OF_IMAGES = r"(sizes?|formats?|dimensions?|resolutions?|aspect|ratios?|widths?|heights?|modes?|larger|smaller|of|with)"
NO_IMAGES = Fault(
    "image not accepted",
    "{model} at {url} does not accept images ({shown}); choose a model that does, for example {vision}",
    stops=(1, 5),  # a server that has answered about an image accepts images; what it refuses now is one of them
    with_images=True,
    codes=_words("image_not_supported unsupported_image_input vision_not_supported"),
    phrases=(
        r"not a multi-?modal",
        rf"\b{_IMAGES}( {_OF_REQUESTS})* not (be )?support",
        rf"(not|n't) support(ed)?( (any|the|use|of|for|processing|{_OF_REQUESTS}))*[ '\"`]+"
        rf"{_IMAGES}\b(?![ _-]{_OF_IMAGES}\b)",
        r"no endpoints found that support image",
        r"unknown variant .?image",
        r"unsupported content (part )?type.{0,5}image",
        r"invalid content type.{0,5}image",
        r"image_url.{0,10} only supported by",
        r"(content|value).{0,60}(must|should) be a (valid )?string",
        r"missing data required for image",
        r"mmproj|model projector",
        r"at most 0 image",
    ),
)
LIMITED = Fault(
    "rate limit",
    "{url} limits requests ({shown})",
    passing=True,
    statuses=((429, 429),),
    codes=_words("rate_limit resource_exhausted throttling too_many_requests limit_requests limit_burst limit_tokens"),
    phrases=(
        r"rate.?limit",
        r"too many requests",
        r"(try again|retry) in \d",
        r"(requests|tokens) per (second|minute)",
    ),
)
QUOTA = Fault(
    "quota",
    "the quota at {url} is used up ({shown}); raise it and run again: answers are kept",
    statuses=((402, 402),),
    codes=_words(
        "insufficient_quota quota_exceeded billing arrearage insufficient_balance insufficient_credits "
        "exceeded_current_quota AllocationQuota FreeTierOnly insufficient_user_quota 1113"
    ),
    phrases=(
        r"insufficient.?(account )?(quota|balance|credit|fund)",
        r"exceeded your current quota",
        r"plan and billing",
        r"arrear",
        r"(account|is) in good standing",
        r"balance is (too low|not enough|insufficient)",
        r"out of credits|requires? more credits",
        r"free (tier|quota|trial).{0,60}(exhausted|used up|expired)",
        r"余额不足|欠费",
    ),
)
REGION = Fault(
    "region",
    "{url} does not serve this country or region ({shown}); choose another server",
    codes=_words("unsupported_country"),
    sure=(
        r"(country|region|territory|user location)\b.{0,20} not supported",
        r"not available in your (country|region|location)",
    ),
)
KEY = Fault(
    "key",
    "{url} refused the key ({shown}); set ZSPROMPT_LLM_KEY to a key that may use {model}",
    statuses=((401, 401), (403, 403)),
    codes=_words(
        "invalid_api_key authentication unauthorized unauthenticated permission_denied access_denied "
        "account_deactivated forbidden"
    ),
    phrases=(
        r"(invalid|incorrect|wrong|missing|expired|no) (x-)?api.?key",
        r"api.?key.{0,20}(not valid|invalid|expired|missing|required)",
        r"(missing|invalid|no) (bearer|authorization)",
    ),
)
POLICY = Fault(
    "data policy",
    "{url} has no {model!r} under your data policy ({shown}); change the policy of your account or the model",
    phrases=(r"match(ing)? your.{0,60}(data|privacy) policy",),
)
MEMORY = Fault(
    "memory",
    "{url} has too little memory for {model!r} ({shown}); choose a smaller model",
    phrases=(r"requires? more (\w+ )?memory", r"loading was stopped due to insufficient system resources"),
)
MODEL = Fault(
    "model",
    "{url} has no model {model!r}, or the URL is wrong ({shown}); check --llm [SERVER:]MODEL and its url=URL{version}",
    statuses=((404, 405),),
    codes=_words("model_not_found model_not_exist invalid_model unknown_model model_not_supported"),
    phrases=(
        r"\bmodel\b.{0,80}(does not exist|not exist|not found)",
        r"not a valid model",
        r"(unknown|unsupported|no such|invalid) model\b",
        r"try pulling",
    ),
)
LONG = Fault(
    "too long",
    "{url} refused the request as too long ({shown}); choose a model with a longer context or a higher limit",
    stops=(5, None),
    codes=_words("413 context_length_exceeded exceed_context_size"),
    sure=(r"request too large",),  # its code is that of a rate limit, but it is larger than a whole minute's limit
    phrases=(
        r"context (length|size|window)",
        r"prompt is too long",
        r"too many (input )?tokens(?!,? (per|please wait))",
        r"range of input length",
    ),
)
BUSY = Fault(
    "overloaded",
    "{url} is overloaded ({shown})",
    passing=True,
    statuses=((503, 503), (529, 529)),
    codes=_words("overloaded unavailable server_busy model_loading insufficient_system_resource"),
    phrases=(r"loading model", r"(currently|model is|still) loading", r"overloaded", r"server (is )?(too )?busy"),
    finishes=_words("insufficient_system_resource"),
)
PROXY = Fault(
    "proxy",
    "the proxy refuses requests to {url} ({shown}); check HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
    statuses=((407, 407),),
)
MOVED = Fault(
    "another address",
    "{url} redirects to another address ({shown}); set that as --llm …,url=URL if you trust it",
    statuses=((300, 399),),
)
BROKEN = Fault(
    "server error",
    "{url} fails ({shown})",
    passing=True,
    stops=(2, 5),
    statuses=((408, 409), (425, 425), (500, 500), (502, 599)),
    finishes=_words("error network_error"),
)
UNREACHABLE = Fault("unreachable", "cannot reach {url} ({shown})", passing=True)
PAGE = Fault(
    "web page",
    "{url} answers with a web page ({shown}); check url=URL{version}, the proxy, and whether the network wants a login",
)
REFUSED = Fault("refused", "{url} refused the request ({shown})", stops=(5, None), statuses=((0, 999),))

FAULTS = (
    FILTERED,
    NO_IMAGES,
    LONG,
    LIMITED,
    QUOTA,
    REGION,
    KEY,
    POLICY,
    MEMORY,
    MODEL,
    BUSY,
    PROXY,
    MOVED,
    BROKEN,
    REFUSED,
)
"""In the order in which they are looked for: the first that is sure, else that fits by code, by phrase, by status."""

CUT = frozenset(("length", "max_tokens", "model_length", "max_output_tokens", "max_completion_tokens"))
"""Reasons for the end of an answer that mean: its maximum length."""


def find_fault(status: int, problem: Problem, *, with_image: bool = False) -> Fault:
    """The fault that a response with an error stands for.

    Args:
        status: HTTP status.
        problem: what the body says.
        with_image: whether the request had an image.
    """
    possible = [fault for fault in FAULTS if with_image or not fault.with_images]
    codes = [_plain(code) for code in (*problem.codes, str(status))]
    for fault in possible:
        if _says(problem, fault.sure):
            return fault
    for fault in possible:
        if any(_is_code(part, code) for part in fault.codes for code in codes):
            return fault
    for fault in possible:
        if _says(problem, fault.phrases):
            return fault
    if status == 200:
        status = problem.status or status
    return next(fault for fault in possible if _covers(fault.statuses, status))


def fault_of_finish(finish: str) -> Fault | None:
    """The fault that the end of an answer stands for, if any."""
    return next((fault for fault in FAULTS if finish in fault.finishes), None)


def _says(problem: Problem, phrases: Iterable[str]) -> bool:
    return any(re.search(phrase, problem.message, re.I | re.S) for phrase in phrases)


def _covers(ranges: Iterable[tuple[int, int]], status: int) -> bool:
    return any(low <= status <= high for low, high in ranges)


def _is_code(part: str, code: str) -> bool:
    return part == code if part.isdecimal() else _plain(part) in code


def _plain(code: str) -> str:
    return re.sub(r"[^a-z0-9]", "", code.lower())
