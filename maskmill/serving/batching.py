"""One runtime for many requests: tiles that wait at the same time are predicted in one batch, if that changes no byte.

Libraries choose their kernels by the shape of what they multiply, so that a tile may come out with other last bits in a
larger batch: ONNX Runtime multiplies one row of a matrix otherwise than several, which networks with CBAM have at their
channel attention. Where masks are to be those of `maskmill predict`, to the byte, this has to be known and not hoped.
"""

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread

import numpy as np

from maskmill.inference.batches import same_in_one_batch
from maskmill.inference.runtimes import Runtime

Waiting = tuple[np.ndarray, Future]

_MOST_VERDICTS = 10_000

_SHORT = 0.1
"""Seconds of the network for calls whose joining is worth a trial, which takes twice as long."""


class BatchingRuntime:
    """A runtime that any number of threads may call at once; a thread of its own runs the network for all of them.

    A call never waits for others to join it: what has come in while the network was at work is taken together next, as
    long as tiles are of one shape, up to `most_tiles` or what a single call brings; with 1, calls are never joined.
    When calls of such sizes and shape meet for the first time, each is predicted by itself; then it is tried with noise
    whether one batch gives the same bytes, and from then on they are joined, or never.

    The trial holds up those who wait, so that calls which take longer than `short` seconds together are not tried and
    stay alone: batches spare what each run of the network costs beside its work, which is little of long ones, as of
    large tiles on a processor. sizes: tiles of the batches so far.
    """

    def __init__(self, runtime: Runtime, most_tiles: int, short: float = _SHORT) -> None:
        self.sizes: deque[int] = deque(maxlen=1000)
        self.most_tiles = most_tiles
        self._runtime, self._short = runtime, short
        self._incoming: SimpleQueue[Waiting | None] = SimpleQueue()
        self._kept: deque[Waiting | None] = deque()
        self._joins: dict[tuple, bool] = {}
        self._thread = Thread(target=self._work, name="network", daemon=True)
        self._thread.start()

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """float32 (N, C, H, W) or (N, C, D, H, W) -> float32 with K channels; raises what the runtime raises."""
        answer: Future = Future()
        self._incoming.put((batch, answer))
        return answer.result()

    @property
    def alive(self) -> bool:
        """Whether calls are still answered."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End the thread once everything that waits is answered."""
        self._incoming.put(None)
        self._thread.join()

    def _work(self) -> None:
        while chosen := self._next():
            key = (chosen[0][0].shape[1:], tuple(len(batch) for batch, _ in chosen))
            if len(chosen) > 1 and self._joins.get(key):
                self._answer(chosen)
                continue
            began = time.perf_counter()
            for waiting in chosen:
                self._answer([waiting])
            if len(chosen) > 1 and key not in self._joins and time.perf_counter() - began <= self._short:
                self._joins = {} if len(self._joins) >= _MOST_VERDICTS else self._joins
                self._joins[key] = same_in_one_batch(self._runtime, [batch.shape for batch, _ in chosen])

    def _answer(self, chosen: Sequence[Waiting]) -> None:
        """Predict calls in one batch and give each its own part."""
        try:
            parts = self._together([batch for batch, _ in chosen])
        except Exception as error:  # whatever it is belongs to those who asked
            for _, answer in chosen:
                answer.set_exception(error)
            return
        self.sizes.append(sum(map(len, parts)))
        for (_, answer), part in zip(chosen, parts, strict=True):
            answer.set_result(part)

    def _together(self, batches: Sequence[np.ndarray]) -> list[np.ndarray]:
        if len(batches) == 1:
            return [self._runtime(batches[0])]
        outputs = self._runtime(np.concatenate(batches))
        return np.split(outputs, np.cumsum([len(batch) for batch in batches])[:-1])

    def _next(self) -> list[Waiting]:
        """What is predicted together next, nothing at the end; the first that came is always among it."""
        first = self._kept.popleft() if self._kept else self._incoming.get()
        if first is None:
            return []
        self._collect()
        chosen, others, tiles = [first], deque(), len(first[0])
        for waiting in self._kept:
            joins = waiting is not None and waiting[0].shape[1:] == first[0].shape[1:]
            if joins and tiles + len(waiting[0]) <= self.most_tiles:
                chosen.append(waiting)
                tiles += len(waiting[0])
            else:
                others.append(waiting)
        self._kept = others
        return chosen

    def _collect(self) -> None:
        """Everything that has come in meanwhile goes behind what was kept, in its order."""
        try:
            while True:
                self._kept.append(self._incoming.get_nowait())
        except Empty:
            return
