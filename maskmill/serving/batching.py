"""One runtime for many requests: tiles that wait at the same time are predicted in one batch."""

from collections import deque
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread

import numpy as np

from maskmill.inference.runtimes import Runtime

Waiting = tuple[np.ndarray, Future]


class BatchingRuntime:
    """A runtime that any number of threads may call at once; a thread of its own runs the network for all of them.

    A call never waits for others to join it: what has come in while the network was at work is taken together next, as
    long as tiles are of one shape, up to `most_tiles` or what a single call brings. sizes: of the batches so far.
    """

    def __init__(self, runtime: Runtime, most_tiles: int) -> None:
        self.sizes: deque[int] = deque(maxlen=1000)
        self._runtime, self._most = runtime, most_tiles
        self._incoming: SimpleQueue[Waiting | None] = SimpleQueue()
        self._kept: deque[Waiting] = deque()
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
            tiles = [batch for batch, _ in chosen]
            try:
                outputs = self._runtime(tiles[0] if len(tiles) == 1 else np.concatenate(tiles))
            except Exception as error:  # whatever it is belongs to those who asked
                for _, answer in chosen:
                    answer.set_exception(error)
                continue
            self.sizes.append(len(outputs))
            ends = np.cumsum([len(batch) for batch in tiles])
            for (_, answer), part in zip(chosen, np.split(outputs, ends[:-1]), strict=True):
                answer.set_result(part)

    def _next(self) -> list[Waiting]:
        """What is predicted together next, nothing at the end; the first that came is always among it."""
        first = self._kept.popleft() if self._kept else self._incoming.get()
        if first is None:
            return []
        self._collect()
        chosen, others, tiles = [first], deque(), len(first[0])
        for waiting in self._kept:
            joins = waiting is not None and waiting[0].shape[1:] == first[0].shape[1:]
            if joins and tiles + len(waiting[0]) <= self._most:
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
