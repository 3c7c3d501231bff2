"""`Batcher`: results are those of single runs, batches close for the stated reasons, nothing hangs."""

import gc
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import CancelledError, Future, wait

import numpy as np
import pytest
from small_models import FEATURES, FLOAT, INT64, affine, onnx_bytes, quantized_mlp, relu, sine, two_by_two

from sanderling import Batcher, InputError, ModelError, Session, UnsupportedError

WIDTH = 37  # features of quantized_mlp


def rows(n: int, features: int = FEATURES, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, features)).astype(np.float32)


class Gate:
    """A backend that waits at each run until it is let go, so that a test decides what queues meanwhile."""

    name = "gate"

    def __init__(self, session: Session) -> None:
        self._backend = session._run
        self.inputs, self.outputs = session.inputs, session.outputs
        self.batches: list[int] = []
        self.entered = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.fail: dict[int, Exception] = {}  # by run

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        turn = len(self.batches)
        self.batches.append(len(inputs[0]))
        self.entered.release()
        self.go.acquire()
        if turn in self.fail:
            raise self.fail[turn]
        return self._backend.run(inputs)

    def open(self, runs: int = 1000) -> None:
        self.go.release(runs)


def open_when_closed(gate: Gate, batcher: Batcher) -> None:
    try:
        while True:
            batcher.submit(rows(1))
            time.sleep(0.001)
    except InputError:
        gate.open()


@pytest.fixture
def gated():
    """A batcher over a gate that holds the first batch, one row: (gate, batcher, that row's future)."""
    made = []

    def make(model: bytes = affine(), features: int = FEATURES, **settings: int) -> tuple[Gate, Batcher, Future]:
        session = Session(model)
        gate = Gate(session)
        session._run = gate
        batcher = Batcher(session, **settings)
        made.append((gate, batcher))
        first = batcher.submit(rows(1, features, seed=99))
        gate.entered.acquire()
        return gate, batcher, first

    yield make
    for gate, batcher in made:
        gate.open()
        batcher.close()


@pytest.mark.parametrize("max_batch_size", [1, 3, 8])
@pytest.mark.parametrize("threads", [1, 2])
def test_batched_results_are_the_bits_of_single_runs(max_batch_size, threads):
    session = Session(quantized_mlp(), threads=threads)
    requests = [rows(1 + seed % 4, WIDTH, seed) for seed in range(48)]
    expected = [np.concatenate([session.run(row[None]) for row in x]) for x in requests]
    with Batcher(session, max_batch_size=max_batch_size) as batcher:
        futures = [batcher.submit(x) for x in requests]
        for future, wanted in zip(futures, expected, strict=True):
            result = future.result()
            assert result.dtype == wanted.dtype
            np.testing.assert_array_equal(result, wanted)
    stats = batcher.stats()
    assert stats["requests"] == len(requests)
    assert stats["rows"] == sum(len(x) for x in requests)
    assert stats["mean_batch_size"] == pytest.approx(stats["rows"] / stats["batches"])


def test_many_threads_get_their_own_results():
    session = Session(quantized_mlp())
    requests = [rows(1 + seed % 3, WIDTH, seed) for seed in range(20)]
    expected = [session.run(x) for x in requests]
    wrong = []

    def work(offset: int) -> None:
        for turn in range(40):
            i = (offset + turn) % len(requests)
            if not np.array_equal(batcher.run(requests[i]), expected[i]):
                wrong.append(i)

    with Batcher(session, max_batch_size=5, max_queue_size=3) as batcher:
        threads = [threading.Thread(target=work, args=(3 * i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    stats = batcher.stats()
    assert stats["requests"] == 8 * 40
    assert sum(stats["closed"].values()) == stats["batches"]


def test_what_queues_while_busy_is_the_next_batch(gated):
    gate, batcher, first = gated(max_batch_size=8)
    futures = [batcher.submit(rows(1, seed=i)) for i in range(5)]
    gate.open()
    wait([first, *futures])
    assert gate.batches == [1, 5]
    assert batcher.stats()["closed"] == {"full": 0, "delay": 0, "idle": 2, "drain": 0}


def test_full_batches_close_and_requests_are_not_cut(gated):
    gate, batcher, _first = gated(max_batch_size=4)
    for n in (3, 2, 2, 1):  # 3 | 2 + 2 | 1
        assert batcher.submit(rows(n)) is not None
    gate.open()
    batcher.close()
    assert gate.batches == [1, 3, 4, 1]
    closed = batcher.stats()["closed"]
    assert closed["full"] == 2
    assert closed["idle"] + closed["drain"] == 2


def test_a_request_larger_than_a_batch_is_cut_and_joined(gated):
    gate, batcher, _first = gated(max_batch_size=4)
    small, large = rows(1, seed=1), rows(10, seed=2)
    futures = [batcher.submit(small), batcher.submit(large)]
    gate.open()
    session = Session(affine())
    np.testing.assert_array_equal(futures[0].result(), session.run(small))
    np.testing.assert_array_equal(futures[1].result(), session.run(large))
    assert gate.batches == [1, 4, 4, 3]  # the small one, then ten rows


def test_a_delay_waits_for_others():
    session = Session(quantized_mlp())
    # A minute: only a full batch or the end can close one.
    with Batcher(session, max_batch_size=3, max_queue_delay_us=60_000_000) as batcher:
        futures = [batcher.submit(rows(1, WIDTH, i)) for i in range(3)]
        wait(futures)
        last = batcher.submit(rows(1, WIDTH))
    assert last.done()
    assert batcher.stats()["closed"] == {"full": 1, "delay": 0, "idle": 0, "drain": 1}
    with Batcher(session, max_batch_size=3, max_queue_delay_us=2000) as batcher:
        batcher.run(rows(1, WIDTH))
        stats = batcher.stats()
    assert stats["closed"]["delay"] == 1
    assert stats["queue_p50_us"] >= 2000
    assert stats["queue_p99_us"] >= stats["queue_p50_us"]


def test_a_full_queue_is_none_and_counted(gated):
    gate, batcher, _first = gated(max_queue_size=2)
    assert batcher.submit(rows(1)) is not None
    assert batcher.submit(rows(1)) is not None
    assert batcher.submit(rows(1)) is None
    stats = batcher.stats()
    assert (stats["rejected"], stats["waiting"], stats["requests"]) == (1, 2, 3)
    results = []
    waiter = threading.Thread(target=lambda: results.append(batcher.run(rows(1, seed=5))))
    waiter.start()  # run waits for room
    gate.open()
    waiter.join()
    np.testing.assert_array_equal(results[0], Session(affine()).run(rows(1, seed=5)))
    assert batcher.stats()["waiting"] == 0


def test_the_rows_are_copied_when_submitted(gated):
    gate, batcher, _first = gated()
    x = rows(2)
    future = batcher.submit(x)
    expected = Session(affine()).run(x)
    x[:] = 0
    gate.open()
    np.testing.assert_array_equal(future.result(), expected)


def test_row_shapes_are_not_mixed(gated):
    gate, batcher, _first = gated(relu(), features=3, max_batch_size=4)
    requests = [rows(1, 3), rows(1, 5), rows(2, 3), rows(2, 5), rows(1, 3)]
    futures = [batcher.submit(x) for x in requests]
    gate.open()
    for future, x in zip(futures, requests, strict=True):
        np.testing.assert_array_equal(future.result(), np.maximum(x, 0))
    assert gate.batches == [1, 4, 3]


def test_mappings_and_any_layout_are_taken():
    a, b = rows(3, 4), rows(3, 2)
    with Batcher(Session(two_by_two())) as batcher:
        results = batcher.run({"b": np.asfortranarray(b), "a": a[::-1].copy()[::-1]})
        with pytest.raises(InputError, match="Pass a mapping"):
            batcher.submit(a)
        with pytest.raises(InputError, match=r"'b' is float32\[2, 2\], .* N is 3 in input 'a'"):
            batcher.submit({"a": a, "b": b[:2]})
    assert list(results) == ["sum", "joined"]
    np.testing.assert_array_equal(results["joined"], np.concatenate([a, b], axis=1))


def test_inputs_that_do_not_fit_are_refused_at_once():
    with Batcher(Session(affine())) as batcher:
        for x, message in (
            (np.zeros((1, FEATURES)), r"is float64\[1, 6\], the model expects float32\[N, 6\]"),
            (np.zeros((1, 5), np.float32), r"is float32\[1, 5\], the model expects float32\[N, 6\]"),
            (np.zeros((0, FEATURES), np.float32), "is empty"),
            (np.zeros(FEATURES, np.float32), r"is float32\[6\], the model expects float32\[N, 6\]"),
        ):
            with pytest.raises(InputError, match=message):
                batcher.submit(x)
    assert batcher.stats()["requests"] == 0
    ids = onnx_bytes(
        [("Gather", ["w", "ids"], "y", {})], {"ids": (INT64, ("N",))}, {"y": (FLOAT, None)}, {"w": rows(4)}
    )
    with Batcher(Session(ids)) as batcher:
        with pytest.raises(InputError, match=r"'ids' is empty: int64\[0\]. Pass at least one row"):
            batcher.submit(np.zeros(0, np.int64))  # a list may be empty, a request is at least one row
        assert batcher.run(np.array([2, 0])).shape == (2, FEATURES)


@pytest.mark.parametrize("delay", [0, 60_000_000])
def test_a_nan_fails_its_own_request_only(delay):
    session = Session(affine())
    good, bad = rows(2), rows(2)
    bad[1, 3] = np.nan
    with Batcher(session, max_batch_size=4, max_queue_delay_us=delay) as batcher:
        futures = [batcher.submit(x) for x in (good, bad, good)]
        assert "'x' has 1 NaN among 12 values" in str(futures[1].exception())
        for future in (futures[0], futures[2]):
            np.testing.assert_array_equal(future.result(), session.run(good))
    assert isinstance(futures[1].exception(), InputError)
    stats = batcher.stats()
    assert (stats["requests"], stats["rows"], stats["waiting"]) == (3, 6, 0)


def test_an_input_error_of_a_batch_reruns_its_requests_one_by_one(gated):
    gate, batcher, _first = gated(max_batch_size=8)
    gate.fail = {1: InputError("[gate] something in this batch"), 3: InputError("[gate] the second")}
    requests = [rows(n, seed=n) for n in (1, 2, 3)]
    futures = [batcher.submit(x) for x in requests]
    gate.open()
    wait(futures)
    assert gate.batches == [1, 6, 1, 2, 3]
    assert isinstance(futures[1].exception(), InputError)
    assert str(futures[1].exception()) == "[gate] the second"
    for i in (0, 2):
        np.testing.assert_array_equal(futures[i].result(), Session(affine()).run(requests[i]))


@pytest.mark.parametrize("error", [ModelError("[gate] broken"), ZeroDivisionError("not ours")], ids=repr)
def test_another_error_reaches_the_futures_of_its_batch_only(gated, error):
    gate, batcher, first = gated(max_batch_size=2)
    gate.fail = {1: error}
    futures = [batcher.submit(rows(1, seed=i)) for i in range(4)]
    gate.open()
    wait(futures)
    assert gate.batches == [1, 2, 2]
    for future in futures[:2]:
        assert type(future.exception()) is type(error)
        assert str(future.exception()) == str(error)
    assert first.exception() is None
    assert [future.exception() for future in futures[2:]] == [None, None]


def test_a_part_that_fails_fails_the_whole_request(gated):
    gate, batcher, _first = gated(max_batch_size=2)
    gate.fail = {2: ModelError("[gate] broken")}
    large, after = batcher.submit(rows(5)), batcher.submit(rows(2, seed=3))
    gate.open()
    assert isinstance(large.exception(), ModelError)
    np.testing.assert_array_equal(after.result(), Session(affine()).run(rows(2, seed=3)))


def test_close_with_drain_runs_what_waits(gated):
    gate, batcher, first = gated()
    future = batcher.submit(rows(1))
    gate.open()
    batcher.close()
    assert first.done()
    assert future.done()
    assert not future.cancelled()
    for use in (batcher.submit, batcher.run):
        with pytest.raises(InputError, match=r"the batcher is closed. Make a new one"):
            use(rows(1))
    batcher.close()  # again
    batcher.close(drain=False)


def test_close_without_drain_cancels_what_waits(gated):
    gate, batcher, first = gated(max_batch_size=2)
    futures = [batcher.submit(rows(n)) for n in (1, 5, 1)]  # the second is cut
    closer = threading.Thread(target=lambda: batcher.close(drain=False))
    closer.start()
    open_when_closed(gate, batcher)
    closer.join()
    assert first.exception() is None  # it ran already
    done, waiting = wait(futures)
    assert not waiting
    assert all(future.cancelled() for future in done)
    with pytest.raises(CancelledError):
        futures[0].result()


def test_an_error_in_the_with_block_does_not_drain(gated):
    gate, batcher, _first = gated()
    future = batcher.submit(rows(1))
    threading.Thread(target=open_when_closed, args=(gate, batcher)).start()
    with pytest.raises(KeyError), batcher:
        raise KeyError
    assert future.cancelled()


def test_closing_wakes_those_who_wait_for_room(gated):
    gate, batcher, _first = gated(max_queue_size=1)
    batcher.submit(rows(1))
    errors = []

    def run() -> None:
        try:
            batcher.run(rows(1))
        except (InputError, CancelledError) as error:
            errors.append(error)

    waiter = threading.Thread(target=run)
    waiter.start()
    closer = threading.Thread(target=lambda: batcher.close(drain=False))
    closer.start()
    waiter.join()
    gate.open()
    closer.join()
    assert isinstance(errors[0], InputError)


def test_cancelled_futures_are_left_alone(gated):
    gate, batcher, _first = gated()
    cancelled, other = batcher.submit(rows(1)), batcher.submit(rows(1))
    assert cancelled.cancel()
    gate.open()
    np.testing.assert_array_equal(other.result(), Session(affine()).run(rows(1)))
    assert cancelled.cancelled()


def test_callbacks_may_submit_and_close_but_not_wait(gated):
    gate, batcher, first = gated()
    seen = []
    done = threading.Event()

    def callback(future: Future) -> None:
        try:
            batcher.run(rows(1))
        except InputError as error:
            seen.append(str(error))
        seen.append(batcher.submit(rows(1)))
        batcher.close()
        done.set()

    first.add_done_callback(callback)
    gate.open()
    done.wait()
    assert seen[0] == "[batcher] run() in a future's callback would wait for itself. Use submit()"
    assert seen[1].result().shape == (1, 3)


def test_a_batcher_may_go_without_being_closed():
    batcher = Batcher(Session(affine()))
    futures = [batcher.submit(rows(1, seed=i)) for i in range(8)]
    del batcher
    gc.collect()
    wait(futures)  # run or cancelled, but never forgotten
    batcher = Batcher(Session(affine()))
    last = batcher.submit(rows(1))
    holder = [batcher]
    del batcher
    last.add_done_callback(lambda _: holder.clear())  # perhaps on its own thread
    wait([last])


def test_other_backends_are_batched_too():
    session = Session(sine(), backend="onnxruntime")
    x = rows(5, 4)
    with Batcher(session, max_batch_size=2) as batcher:
        futures = [batcher.submit(row[None]) for row in x]
        large = batcher.submit(x)
        np.testing.assert_allclose(np.concatenate([f.result() for f in futures]), np.sin(x), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(large.result(), np.sin(x), rtol=1e-5, atol=1e-6)
        x[0, 0] = np.nan
        with pytest.raises(InputError, match="1 NaN among 20 values"):
            batcher.run(x)


def test_models_that_cannot_be_batched_are_refused():
    with pytest.raises(UnsupportedError, match=r"axis 0 of input 'x' is fixed at 1, max_batch_size is 8. Export"):
        Batcher(Session(affine(batch=1)))
    with Batcher(Session(affine(batch=1)), max_batch_size=1) as batcher:
        assert batcher.run(rows(1)).shape == (1, 3)
    scalar = onnx_bytes([("Relu", ["x"], "y", {})], {"x": (FLOAT, ())}, {"y": (FLOAT, ())})
    with pytest.raises(UnsupportedError, match="input 'x' is a scalar and has no batch axis"):
        Batcher(Session(scalar))
    mean = onnx_bytes(
        [("ReduceMean", ["x"], "y", {"axes": [0], "keepdims": 1})],
        {"x": (FLOAT, ("N", 4))},
        {"y": (FLOAT, (1, 4))},
    )
    with Batcher(Session(mean)) as batcher, pytest.raises(UnsupportedError, match="not one row per row"):
        batcher.run(rows(3, 4))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"max_batch_size": 0}, "max_batch_size is 0, expected 1 to "),
        ({"max_queue_size": 0}, "max_queue_size is 0, expected 1 to "),
        ({"max_queue_delay_us": -1}, "max_queue_delay_us is -1, expected 0 to 60000000"),
        ({"max_batch_size": 2.0}, "max_batch_size is 2.0, expected an integer"),
        ({"max_queue_size": True}, "max_queue_size is True, expected an integer"),
    ],
)
def test_settings_are_checked(setting, message):
    with pytest.raises(InputError, match=message):
        Batcher(Session(affine()), **setting)


def test_a_closed_session_cannot_be_batched():
    session = Session(affine())
    session.close()
    with pytest.raises(InputError, match=r"the session is closed"):
        Batcher(session)


@pytest.mark.parametrize(
    "end",
    [
        "pass",
        "raise SystemExit(0)",
        "futures[0].result()",
        "[threading.Thread(target=forever, daemon=True).start() for _ in range(4)]",
        "threading.Thread(target=lambda: [batcher.run(x) for _ in range(200)]).start()",
    ],
)
def test_the_interpreter_ends_with_a_batcher_open(end, tmp_path):
    (tmp_path / "model.onnx").write_bytes(quantized_mlp())
    script = f"""
        import threading
        import numpy as np
        import sanderling

        session = sanderling.Session("model.onnx")
        batcher = sanderling.Batcher(session, max_queue_delay_us=1000, max_queue_size=500)
        x = np.zeros((1, {WIDTH}), np.float32)
        futures = [batcher.submit(x) for _ in range(400)]

        def forever():
            try:
                while True:
                    batcher.run(x)
            except sanderling.InputError:  # closed at exit
                pass

        {end}
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
