"""A vision model that captions images: one request per image, a check, a second request if needed, within a budget."""

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
from zsprompt.llm.client import Answer, Messages, RefusedRequestError
from zsprompt.llm.faults import REFUSED
from zsprompt.llm.writer import SpentError, Writer, broken_off, cut_off, once_more

# Answers are stored under the text of the request: to change these texts is to ask and pay anew.
QUESTION = "Please caption this image in English, naming every object that can be seen."
WORDS, MOST_WORDS = 30, 100
"""Maximum number of words in a caption: by default, and at most. A longer caption would not fit an answer."""

_ALONE = "Answer with the caption alone: one line, at most {words} words."
_LONGEST_SIDE, _QUALITY = 512, 85
_CONCURRENT_DECODES = 2  # a large image takes much memory, and decoding it keeps a core busy
_CHARACTERS_PER_WORD = 30  # not all languages put spaces between words
_REPEATED = 1000  # characters of a rejected answer that are sent back


@dataclass
class ImageCaptions:
    """Captions of images, by image id, in the order of the images.

    Attributes:
        captions: one line each.
        failed: images for which two answers were rejected, with the last reason.
        refused: images for which the server gives no answer, with the reason.
        bad: unreadable images, with the reason.
        unasked: number of images that the budget did not cover.
    """

    captions: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    unasked: int = 0

    def sorted(self, order: Sequence[str]) -> ImageCaptions:
        """The same, in the order of these ids."""
        parts = (self.captions, self.failed, self.refused, self.bad)
        captions, failed, refused, bad = ({image: part[image] for image in order if image in part} for part in parts)
        return ImageCaptions(captions, failed, refused, bad, self.unasked)


def caption_images(
    writer: Writer, images: Sequence[ImageRef], *, question: str = QUESTION, words: int = WORDS
) -> ImageCaptions:
    """One caption per image, written by a vision model. Stored answers are not requested again.

    Only a JPEG of at most 512 pixels per side is sent: no metadata and no file name.

    Args:
        writer: sends the requests, within its budget.
        images: N images with distinct ids.
        question: the question; instructions for the answer are appended.
        words: maximum number of words in a caption, 1 to 100.

    Raises:
        UsageError: the question is blank, or the number of words is out of range.
        LLMError: the server cannot be reached, or refuses all requests. Answers are kept.

    Source: the second caption of Chen and Wu, Multi-Label Classification on MS COCO, who used their own captioning
        model.
    """
    if not question.strip():
        raise UsageError("expected a question about an image, found a blank one")
    if not 1 <= words <= MOST_WORDS:
        raise UsageError(f"expected a maximum of 1 to {MOST_WORDS} words per caption, found {words}")
    job = _Job(writer, f"{question.strip()} {_ALONE.format(words=words)}", words)
    try:
        writer.each(images, job.caption, "images")
    except RefusedRequestError as error:
        if error.fault is not REFUSED:
            raise
        server = writer.client.server
        hint = f"if {server.model} does not accept images, choose a model that does, for example {server.vision_model}"
        raise LLMError(f"{error}; {hint}") from None
    return job.result.sorted([image.id for image in images])


def small_jpeg(data: bytes) -> bytes:
    """The JPEG that is sent for an image: upright RGB, at most 512 pixels per side, without metadata.

    Raises:
        ImageError: see `images.decode`.
    """
    image = decode(data)
    image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    image.info = {}  # otherwise a file's comment would be sent too
    out = BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


class _Job:
    """One `caption_images` call."""

    def __init__(self, writer: Writer, question: str, words: int) -> None:
        self.result = ImageCaptions()
        self._writer = writer
        self._question = question
        self._words = words
        self._decoding = asyncio.Semaphore(_CONCURRENT_DECODES)
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
        self._image_tokens: int | None = None  # largest number of tokens that an image took; None before an answer
        self._first_answer = asyncio.Lock()

    async def caption(self, http: httpx.AsyncClient, image: ImageRef) -> None:
        """Request the caption of an image, check it, request another if it is rejected, and record the outcome."""
        try:
            async with self._decoding:
                jpeg = await asyncio.to_thread(lambda: small_jpeg(image.read()))
            # of two equal images, the second waits for the answer to the first
            async with self._locks.setdefault(hashlib.sha256(jpeg).digest(), asyncio.Lock()):
                text, problem = await self._caption(http, jpeg)
        except ImageError as error:
            self.result.bad[image.id] = str(error)
        except SpentError:
            self.result.unasked += 1
        except RefusedRequestError as error:
            self.result.refused[image.id] = self._writer.refusal(error)
        else:
            if problem is None:
                self.result.captions[image.id] = text
            else:
                self.result.failed[image.id] = problem.reason

    async def _caption(self, http: httpx.AsyncClient, jpeg: bytes) -> tuple[str, Complaint | None]:
        messages = _with_image(self._question, jpeg)
        text, problem = await self._checked(http, messages)
        if problem is None or problem.final:
            return text, problem
        words = max(1, self._words // 2) if problem.too_long else self._words
        return await self._checked(http, (*messages, *once_more(text[:_REPEATED], problem, words)))

    async def _checked(self, http: httpx.AsyncClient, messages: Messages) -> tuple[str, Complaint | None]:
        answer = await self._answer(http, messages)
        text = tidy(answer.spoken)
        problem = broken_off(answer) or complaint(text, (), ()) or cut_off(answer)
        if problem is None and (len(text.split()) > self._words or len(text) > self._words * _CHARACTERS_PER_WORD):
            problem = Complaint(f"it has more than {self._words} words", too_long=True)
        return text, problem

    async def _answer(self, http: httpx.AsyncClient, messages: Messages) -> Answer:
        if self._image_tokens is None and self._writer.budget.tokens is not None:
            async with self._first_answer:  # one by one until the first answer shows how many tokens an image takes
                return await self._ask(http, messages)
        return await self._ask(http, messages)

    async def _ask(self, http: httpx.AsyncClient, messages: Messages) -> Answer:
        answer = await self._writer.ask(http, messages, extra_tokens=self._image_tokens or 0)
        image_tokens = answer.tokens - self._writer.client.estimated_tokens(messages)
        self._image_tokens = max(self._image_tokens or 0, image_tokens)
        return answer


def _with_image(question: str, jpeg: bytes) -> Messages:
    """A question followed by an image."""
    url = f"data:image/jpeg;base64,{b64encode(jpeg).decode('ascii')}"
    parts = ({"type": "text", "text": question}, {"type": "image_url", "image_url": {"url": url}})
    return cast("Messages", (("user", parts),))  # the client sends any content unchanged, not only a string
