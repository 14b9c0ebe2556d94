"""Batching across requests: texts that arrive at about the same time are classified together, in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from mlemo.inference import Classified

__all__ = ["Batcher", "Overloaded"]


class Overloaded(Exception):
    """More texts are waiting than the service keeps."""


class Batcher:
    """Classify the texts of requests in common batches.

    A batch begins with the first waiting request; those that arrive within ``wait`` seconds, or while the batch before
    is computed, join it.

    Args:
        classify: The classifier, called in one thread of its own.
        size: Texts from which a batch takes no further request.
        wait: Seconds that a request waits for others.
        most: Largest number of texts that wait or are computed.
        observe: Called with the number of texts of each batch.
    """

    def __init__(
        self,
        classify: Callable[[Sequence[str]], list[Classified]],
        size: int,
        wait: float,
        most: int,
        observe: Callable[[int], None],
    ) -> None:
        self.classify, self.size, self.wait, self.most, self.observe = classify, size, wait, most, observe
        self.waiting = 0  #: texts that wait or are computed
        self._requests: asyncio.Queue[tuple[Sequence[str], asyncio.Future[list[Classified]]]] = asyncio.Queue()

    async def __call__(self, texts: Sequence[str]) -> list[Classified]:
        """Classify the texts of one request.

        Raises:
            Overloaded: Too many texts are waiting.
        """
        if self.waiting + len(texts) > self.most:
            raise Overloaded
        result: asyncio.Future[list[Classified]] = asyncio.get_running_loop().create_future()
        self.waiting += len(texts)
        try:
            self._requests.put_nowait((texts, result))
            return await result
        finally:
            self.waiting -= len(texts)

    async def run(self) -> None:
        """Classify batches until cancelled."""
        with ThreadPoolExecutor(1, "classifier") as thread:
            while True:
                requests = [await self._requests.get()]
                await asyncio.sleep(self.wait)
                while not self._requests.empty() and sum(len(texts) for texts, _ in requests) < self.size:
                    requests.append(self._requests.get_nowait())
                await self._answer([(texts, result) for texts, result in requests if not result.done()], thread)

    async def _answer(
        self, requests: Sequence[tuple[Sequence[str], asyncio.Future[list[Classified]]]], thread: ThreadPoolExecutor
    ) -> None:
        every = [text for texts, _ in requests for text in texts]
        try:
            self.observe(len(every))
            found = await asyncio.get_running_loop().run_in_executor(thread, self.classify, every)
        except Exception as error:  # the service goes on, whatever the model raises
            for _, result in requests:
                if not result.done():
                    result.set_exception(error)
            return
        start = 0
        for texts, result in requests:
            if not result.done():  # the client may have gone
                result.set_result(found[start : start + len(texts)])
            start += len(texts)
