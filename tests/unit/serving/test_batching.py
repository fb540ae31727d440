"""Tiles of several callers in one batch: the same answers, each to its own caller."""

from threading import Barrier, Event, Thread

import numpy as np

from maskmill.serving.batching import BatchingRuntime


class Slow:
    """Doubles tiles, and notes the batches; the first one lasts until `go` is set."""

    def __init__(self):
        self.batches, self.began, self.go = [], Event(), Event()

    def __call__(self, batch):
        self.batches.append(batch.shape)
        self.began.set()
        assert self.go.wait(10)
        if np.isnan(batch).any():
            raise ValueError("no number")
        return 2 * batch


def call_at_once(runtime, slow, tiles):
    """Answers, or errors, of calls that come in while the network is at work on something else."""
    answers = [None] * len(tiles)

    def call(index):
        try:
            answers[index] = runtime(tiles[index])
        except ValueError as error:
            answers[index] = error

    first = Thread(target=runtime, args=(np.zeros((1, 1, 2, 2), np.float32),))
    first.start()
    assert slow.began.wait(10)
    threads = [Thread(target=call, args=(index,)) for index in range(len(tiles))]
    for thread in threads:
        thread.start()
    while runtime._incoming.qsize() < len(tiles):
        pass
    slow.go.set()
    for thread in [first, *threads]:
        thread.join(10)
    return answers


def tile(value, count=1, side=4):
    return np.full((count, 1, side, side), value, np.float32)


def test_what_waits_goes_together_and_everyone_gets_his_own():
    slow = Slow()
    runtime = BatchingRuntime(slow, most_tiles=4)

    answers = call_at_once(runtime, slow, [tile(1), tile(2, 2), tile(3)])

    for value, answer in enumerate(answers, 1):
        np.testing.assert_array_equal(answer, tile(2 * value, len(answer)))
    assert [len(answer) for answer in answers] == [1, 2, 1]
    assert slow.batches[1:] == [(4, 1, 4, 4)]
    assert list(runtime.sizes) == [1, 4]


def test_other_shapes_and_what_is_too_much_wait_for_the_next_batch():
    slow = Slow()
    runtime = BatchingRuntime(slow, most_tiles=4)

    call_at_once(runtime, slow, [tile(1, 3), tile(1, 1, side=8), tile(1, 3)])

    assert sorted(slow.batches[1:]) == [(1, 1, 8, 8), (3, 1, 4, 4), (3, 1, 4, 4)]


def test_a_call_larger_than_the_batch_is_answered_whole():
    slow = Slow()
    slow.go.set()

    assert BatchingRuntime(slow, most_tiles=2)(tile(1, 5)).shape == (5, 1, 4, 4)


def test_errors_reach_the_callers_and_the_thread_lives_on():
    slow = Slow()
    runtime = BatchingRuntime(slow, most_tiles=1)

    bad, good = call_at_once(runtime, slow, [tile(np.nan), tile(1)])

    assert isinstance(bad, ValueError)
    np.testing.assert_array_equal(good, tile(2))
    assert runtime.alive


def test_closing_answers_what_waits():
    slow = Slow()
    slow.go.set()
    runtime = BatchingRuntime(slow, most_tiles=1)
    answer = runtime(tile(1))
    runtime.close()

    np.testing.assert_array_equal(answer, tile(2))
    assert not runtime.alive


def test_many_callers():
    callers = 8
    runtime = BatchingRuntime(lambda batch: batch + 1, most_tiles=3)
    start, wrong = Barrier(callers), []

    def call(value):
        start.wait(10)
        for repeat in range(50):
            tiles = tile(value, 1 + repeat % 3)
            if not np.array_equal(runtime(tiles), tiles + 1):
                wrong.append(value)

    threads = [Thread(target=call, args=(value,)) for value in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert not wrong
    assert sum(runtime.sizes) == sum(1 + repeat % 3 for repeat in range(50)) * callers
