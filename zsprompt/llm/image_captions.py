"""A vision model that captions pictures: shown each as a small JPEG, checked, asked once more, kept and budgeted."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import cast
from weakref import WeakValueDictionary

import httpx

from zsprompt.data.images import ImageRef, decode
from zsprompt.errors import ImageError, LLMError, UsageError
from zsprompt.llm.checks import Complaint, complaint, tidy
from zsprompt.llm.client import Answer, Messages
from zsprompt.llm.writer import SpentError, Writer, once_more

QUESTION = "Please caption this image in English, naming every object that can be seen."
WORDS, MOST_WORDS = 30, 100
"""Of a caption, unless told otherwise, and at most: a longer one would not fit an answer."""

_ALONE = "Answer with the caption alone: one line, at most {words} words."
_LONGEST_SIDE, _QUALITY = 512, 85
_DECODED_AT_ONCE = 2  # large pictures take much memory, and each keeps a core busy
_MARKS_A_WORD = 30  # not all languages put blanks between words
_SHOWN_AGAIN = 1000  # characters of an answer that will not do
_REFUSED = "refused the request"  # in the client's words


@dataclass
class Described:
    """What came of captioning pictures, each by its id, in the order asked for.

    Attributes:
        captions: on one line each.
        failed: pictures for which two answers would not do, with the last complaint.
        bad: pictures that cannot be read, with the reason.
        unasked: how many pictures the budget did not reach.
    """

    captions: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    unasked: int = 0

    def sorted(self, order: Sequence[str]) -> Described:
        """The same in the order of these ids."""
        captions, failed, bad = (
            {image: part[image] for image in order if image in part} for part in (self.captions, self.failed, self.bad)
        )
        return Described(captions, failed, bad, self.unasked)


def describe_pictures(
    writer: Writer, images: Sequence[ImageRef], *, question: str = QUESTION, words: int = WORDS
) -> Described:
    """One caption for each picture, by a vision model. Answers that are kept are not asked for again.

    What is sent is a JPEG of at most 512 pixels a side without anything else of the file, its name included.

    Args:
        writer: whom to ask, and how much; see Writer.
        images: N pictures with ids of their own.
        question: what is asked; how to answer is added to it.
        words: a longer caption will not do; 1 to 100.

    Raises:
        UsageError: a blank question, or another number of words.
        LLMError: the server cannot be reached or refuses; what was answered is kept.

    Source: the second caption of Chen and Wu, Multi-Label Classification on MS COCO, who had a captioning model of
        their own.
    """
    if not question.strip():
        raise UsageError("expected a question about a picture, found a blank")
    if not 1 <= words <= MOST_WORDS:
        raise UsageError(f"expected captions of at most 1 to {MOST_WORDS} words, found {words}")
    job = _Job(writer, f"{question.strip()} {_ALONE.format(words=words)}", words)
    try:
        writer.each(images, job.describe, "pictures")
    except LLMError as error:
        if _REFUSED in str(error):
            model = writer.client.server.model
            raise LLMError(f"{error}; if {model} sees no pictures, choose one that does with --llm-model") from None
        raise
    return job.found.sorted([image.id for image in images])


def small_jpeg(data: bytes) -> bytes:
    """A picture as it is sent: upright RGB, at most 512 pixels a side, as a JPEG that holds nothing but pixels.

    Raises:
        ImageError: see `images.decode`.
    """
    picture = decode(data)
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    picture.info = {}  # a file's comment would go along
    out = BytesIO()
    picture.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


class _Job:
    """One `describe_pictures` call."""

    def __init__(self, writer: Writer, question: str, words: int) -> None:
        self.found = Described()
        self._writer = writer
        self._question = question
        self._words = words
        self._decoding = asyncio.Semaphore(_DECODED_AT_ONCE)
        self._same: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
        self._besides: int | None = None  # tokens that a picture takes, once an answer has told
        self._telling = asyncio.Lock()

    async def describe(self, http: httpx.AsyncClient, image: ImageRef) -> None:
        """Ask for the caption of a picture, check it, ask once more, and write down what came of it."""
        try:
            async with self._decoding:
                jpeg = await asyncio.to_thread(lambda: small_jpeg(image.read()))
            # of two that look the same the second finds the first one's answer
            async with self._same.setdefault(hashlib.sha256(jpeg).digest(), asyncio.Lock()):
                text, said = await self._caption(http, jpeg)
        except ImageError as error:
            self.found.bad[image.id] = str(error)
        except SpentError:
            self.found.unasked += 1
        else:
            if said is None:
                self.found.captions[image.id] = text
            else:
                self.found.failed[image.id] = said.said

    async def _caption(self, http: httpx.AsyncClient, jpeg: bytes) -> tuple[str, Complaint | None]:
        asked = _shown(self._question, jpeg)
        text, said = await self._checked(http, asked)
        if said is None:
            return text, None
        words = max(1, self._words // 2) if said.too_long else self._words
        return await self._checked(http, (*asked, *once_more(text[:_SHOWN_AGAIN], said, words)))

    async def _checked(self, http: httpx.AsyncClient, messages: Messages) -> tuple[str, Complaint | None]:
        answer = await self._answer(http, messages)
        text = tidy(answer.text)
        said = complaint(text, (), ())
        if said is None and answer.cut:
            said = Complaint("it broke off before its end", too_long=True)
        if said is None and (len(text.split()) > self._words or len(text) > self._words * _MARKS_A_WORD):
            said = Complaint(f"it has more than {self._words} words", too_long=True)
        return text, said

    async def _answer(self, http: httpx.AsyncClient, messages: Messages) -> Answer:
        if self._besides is None and self._writer.budget.tokens is not None:
            async with self._telling:  # one at a time, or many would be asked before the first tells what each takes
                return await self._asked(http, messages)
        return await self._asked(http, messages)

    async def _asked(self, http: httpx.AsyncClient, messages: Messages) -> Answer:
        answer = await self._writer.ask(http, messages, besides=self._besides or 0)
        took = answer.tokens - self._writer.client.estimated_tokens(messages)
        self._besides = max(self._besides or 0, took)
        return answer


def _shown(question: str, jpeg: bytes) -> Messages:
    """A question with a picture after it."""
    url = f"data:image/jpeg;base64,{b64encode(jpeg).decode('ascii')}"
    parts = ({"type": "text", "text": question}, {"type": "image_url", "image_url": {"url": url}})
    return cast("Messages", (("user", parts),))  # the client sends a content that is no text as it stands
