"""What waits for the agent is bounded: in memory, and in one answer."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from runner_harness import wait_until

from sanderling._windows import Windows
from sanderling.agent.runner import observer
from sanderling.agent.runner.observer import Answered, Observer
from sanderling.agent.runner.samples import Samples
from sanderling.drift import Reference, Settings


def draw(seed: int, rows: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, 6)).astype(np.float32)


def watching() -> Observer:
    settings = Settings(window_rows=20, warmup_rows=40)
    windows = Windows(Reference.fit(draw(0, 500)), device="d", settings=settings)
    return Observer(windows, Samples(0, seed=0))


def test_windows_are_handed_out_in_parts(monkeypatch: pytest.MonkeyPatch):
    seen = watching()
    seen.put(Answered({"x": draw(1, 200)}, {}))
    wait_until(lambda: len(seen.take(0)[0]) == 10)
    size = seen.take(0)[0][-1].ByteSize()
    monkeypatch.setattr(observer, "MOST_ANSWER_BYTES", 3 * size)
    taken: list[int] = []
    while windows := seen.take(taken[-1] if taken else 0)[0]:
        assert 1 <= len(windows) <= 4
        taken += [window.window for window in windows]
    assert taken == list(range(1, 11))
    monkeypatch.setattr(observer, "MOST_ANSWER_BYTES", 1)
    seen.put(Answered({"x": draw(2, 40)}, {}))
    wait_until(lambda: [window.window for window in seen.take(10)[0]] == [11])  # one at least
    seen.close()


def test_the_oldest_windows_go_when_nobody_takes_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(observer, "MOST_WINDOW_BYTES", 2000)
    seen = watching()
    seen.put(Answered({"x": draw(1, 400)}, {}))
    seen.close()
    windows = seen.take(0)[0]
    assert windows[-1].window == 20
    assert 1 <= len(windows) < 15
    assert sum(window.ByteSize() for window in windows) <= 2000


def test_rows_that_do_not_fit_are_skipped(caplog: pytest.LogCaptureFixture):
    seen = watching()
    for _ in range(3):
        seen.put(Answered({"x": draw(1, 20)[:, :5]}, {}))
    seen.put(Answered({"x": draw(1, 20)}, {}))
    seen.close()
    assert [window.window for window in seen.take(0)[0]] == [1]
    assert [record.message.startswith("rows are not watched") for record in caplog.records] == [True]


def test_what_waits_to_be_looked_at_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch):
    """Large rows: the number of requests alone says nothing of the memory that they hold."""
    looked, go_on = threading.Event(), threading.Event()

    def look(self: Observer, answered: Answered) -> None:
        looked.set()
        go_on.wait()

    monkeypatch.setattr(Observer, "_look", look)
    seen = watching()
    row = np.zeros((1, 1 << 20), np.float32)
    sent = 0
    while not seen.is_behind:
        seen.put(Answered({"x": row}, {"y": row}))
        sent += 1
        assert sent < 100
    assert sent == 9, "64 MiB of 8 MiB each, and one"
    go_on.set()
    wait_until(lambda: not seen.is_behind)
    for _ in range(513):
        seen.put(Answered({"x": row[:, :1]}, None))
    seen.close()


def test_a_bug_is_logged_once_and_not_at_each_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def look(self: Observer, answered: Answered) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Observer, "_look", look)
    seen = watching()
    for _ in range(100):
        seen.put(Answered({"x": draw(1, 1)}, {}))
    seen.close()
    assert len(caplog.records) == 1
