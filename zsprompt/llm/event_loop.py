"""Runs a coroutine to its end in a thread of its own: the caller's thread may already run an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

A = TypeVar("A")


def run_in_loop(job: Callable[[], Coroutine[Any, Any, A]]) -> A:
    """Run `job()` in a new event loop in a new thread: the caller's thread may already run a loop.

    An interruption cancels the job, waits until its connections are closed, and is then raised here.
    """
    result: list[A] = []
    failed: list[BaseException] = []
    loop = asyncio.new_event_loop()
    task: asyncio.Task[A] | None = None

    async def watched() -> None:
        nonlocal task
        task = asyncio.ensure_future(job())
        try:
            result.append(await task)
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            failed.append(error)

    done = threading.Event()

    def work() -> None:
        try:
            loop.run_until_complete(watched())
        finally:
            loop.close()
            done.set()

    thread = threading.Thread(target=work, name="zsprompt-llm", daemon=True)
    thread.start()
    try:
        while not done.wait(0.1):  # in steps: on some systems, Ctrl-C does not interrupt a longer wait
            pass
    except BaseException:
        with suppress(RuntimeError):  # the loop may just have been closed
            loop.call_soon_threadsafe(lambda: task and task.cancel())
        done.wait()  # not join: after an interruption, it may return while the thread still runs
        raise
    finally:
        thread.join()
    if failed:
        raise failed[0]
    return result[0]
