"""`Session` on the native engine: what it computes, what it takes and what it refuses."""

import ctypes
import mmap
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from small_models import (
    BIAS,
    CLASSES,
    FEATURES,
    FLOAT,
    INT64,
    affine,
    affine_numpy,
    integer_product,
    onnx_bytes,
    quantized_mlp,
    relu,
    two_by_two,
)

import sanderling
from sanderling import InputError, Session, UnsupportedError


def rows(n: int, features: int = FEATURES, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, features)).astype(np.float32)


@pytest.fixture
def session():
    with Session(affine()) as made:
        yield made


@pytest.mark.parametrize("threads", [1, 2])
def test_one_session_runs_any_batch_size(threads):
    session = Session(affine(), threads=threads)
    for n in (1, 3, 8, 17, 3):
        x = rows(n, seed=n)
        y = session.run(x)
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, affine_numpy(x), rtol=1e-5, atol=1e-5)


def test_more_shapes_than_plans_are_kept():
    session = Session(affine())
    for n in (*range(1, 40), *range(40, 0, -1)):  # 16 plans are kept
        x = rows(n, seed=n)
        np.testing.assert_allclose(session.run(x), affine_numpy(x), rtol=1e-5, atol=1e-5)


def test_an_array_gives_an_array_and_a_mapping_a_dict(session):
    x = rows(2)
    assert isinstance(session.run(x), np.ndarray)
    results = session.run({"x": x})
    assert list(results) == ["y"]
    np.testing.assert_array_equal(results["y"], session.run(x))


def test_several_inputs_and_outputs_go_by_name():
    a, b = rows(3, 4), rows(3, 2, seed=1)
    session = Session(two_by_two())
    results = session.run({"b": b, "a": a})
    assert list(results) == ["sum", "joined"]
    np.testing.assert_array_equal(results["sum"], a + a)
    np.testing.assert_array_equal(results["joined"], np.concatenate([a, b], axis=1))
    with pytest.raises(InputError, match=r"inputs \['a', 'b'\] and outputs \['sum', 'joined'\]. Pass a mapping"):
        session.run(a)


def test_results_are_new_arrays(session):
    x = rows(2)
    first = session.run(x)
    kept = first.copy()
    session.run(-x)
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(
    "laid_out",
    [
        pytest.param(np.asfortranarray, id="fortran"),
        pytest.param(lambda x: np.repeat(x, 2, axis=1)[:, ::2], id="every second column"),
        pytest.param(lambda x: x[::-1].copy()[::-1], id="negative stride"),
        pytest.param(
            lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape), id="odd"
        ),
        pytest.param(lambda x: np.broadcast_to(x, x.shape), id="read-only"),
        pytest.param(lambda x: x.view(np.recarray), id="subclass"),
    ],
)
def test_any_memory_layout_is_read(session, laid_out):
    x = rows(5)
    given = laid_out(x)
    np.testing.assert_array_equal(given, x)
    np.testing.assert_array_equal(session.run(given), session.run(x))
    y = np.empty((5, CLASSES), np.float32)
    session.run_into(given, y)
    np.testing.assert_array_equal(y, session.run(x))


class Capsule:
    """What another framework's CPU tensor shows of itself."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __dlpack__(self, **arguments: object) -> object:
        return self._array.__dlpack__(**arguments)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()


class OnGpu(Capsule):
    def __dlpack__(self, **arguments: object) -> object:
        raise BufferError("cannot export a GPU tensor to the CPU")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)


def test_dlpack_is_read_and_bound_without_a_copy(session):
    x = rows(4)
    np.testing.assert_array_equal(session.run(Capsule(x)), session.run(x))
    np.testing.assert_array_equal(session.run({"x": Capsule(x)})["y"], session.run(x))
    y = np.empty((4, CLASSES), np.float32)
    call = session.bind(Capsule(x), y)
    x[:] = rows(4, seed=9)  # seen by the bound call: the memory is shared
    call()
    np.testing.assert_array_equal(y, session.run(x))
    with pytest.raises(InputError, match="input 'x' of type OnGpu is not an array"):
        session.run(OnGpu(x))


def test_sequences_are_what_numpy_makes_of_them():
    session = Session(relu(kind=INT64))
    np.testing.assert_array_equal(session.run([[1, -2], [-3, 4]]), [[1, 0], [0, 4]])
    with pytest.raises(InputError, match="'x' of type list is not an array"):
        session.run([[1], [2, 3]])


def test_run_into_writes_the_callers_array(session):
    x, y = rows(3), np.full((3, CLASSES), 7, np.float32)
    assert session.run_into(x, y) is None
    np.testing.assert_array_equal(y, session.run(x))
    by_name = {"y": np.zeros_like(y)}
    session.run_into({"x": x}, by_name)
    np.testing.assert_array_equal(by_name["y"], y)


def test_a_bound_call_follows_its_arrays(session):
    x, y = rows(3), np.zeros((3, CLASSES), np.float32)
    call = session.bind(x, y)
    for seed in range(3):
        x[:] = rows(3, seed=seed)
        call()
        np.testing.assert_array_equal(y, session.run(x))
    x[0, 0] = np.nan
    with pytest.raises(InputError, match="NaN"):
        call()


def test_bind_refuses_what_it_would_have_to_copy(session):
    y = np.zeros((3, CLASSES), np.float32)
    with pytest.raises(InputError, match=r"input 'x' is not C-contiguous and aligned. Pass array.copy\(\)"):
        session.bind(np.asfortranarray(rows(3)), y)
    with pytest.raises(InputError, match="input 'x' is list, a bound call reads an array in place"):
        session.bind(rows(3).tolist(), y)


def test_outputs_must_be_what_the_model_writes(session):
    x = rows(3)
    wrong = {
        r"output 'y' is float32\[2, 3\], the model writes float32\[3, 3\]": np.zeros((2, 3), np.float32),
        r"output 'y' is float64\[3, 3\], the model writes float32\[3, 3\]": np.zeros((3, 3)),
        "output 'y' is not C-contiguous": np.zeros((3, 3), np.float32).T[::-1],
        "output 'y' is read-only": np.broadcast_to(np.zeros((3, 3), np.float32), (3, 3)).copy(),
        r"output 'y' is float16\[3, 3\], the model": np.zeros((3, 3), np.float16),
        "output 'y' has dtype complex64": np.zeros((3, 3), np.complex64),
        "output 'y' is list, expected a NumPy array": [[0.0] * 3] * 3,
    }
    wrong["output 'y' is read-only"].setflags(write=False)
    for message, y in wrong.items():
        for use in (session.run_into, session.bind):
            with pytest.raises(InputError, match=message):
                use(x, y)
    with pytest.raises(InputError, match=r"outputs \['z'\] do not match the model's \['y'\]"):
        session.run_into(x, {"z": np.zeros((3, 3), np.float32)})
    with pytest.raises(InputError, match=r"the model has outputs \['sum', 'joined'\]. Pass a mapping"):
        Session(two_by_two()).run_into({"a": rows(1, 4), "b": rows(1, 2)}, np.zeros((1, 4), np.float32))


def test_outputs_share_no_memory_with_inputs_or_each_other():
    memory = np.ones(16, np.float32)
    x = memory[:8].reshape(2, 4)
    with pytest.raises(InputError, match=r"output 'y' shares memory with input 'x'. Give it an array of its own"):
        Session(relu()).run_into(x, memory[4:12].reshape(2, 4))
    Session(relu()).run_into(x, memory[8:].reshape(2, 4))  # side by side is fine
    outputs = {"sum": memory[:4].reshape(1, 4), "joined": memory[2:8].reshape(1, 6)}
    with pytest.raises(InputError, match="output 'joined' shares memory with output 'sum'"):
        Session(two_by_two()).run_into({"a": rows(1, 4), "b": rows(1, 2)}, outputs)


@pytest.mark.parametrize("backend", ["native", "onnxruntime"])
@pytest.mark.parametrize(("op", "wanted"), [("ReduceSum", [[15]]), ("Gather", []), ("Expand", [range(6)])])
def test_a_list_of_integers_may_be_empty_and_a_batch_may_not(backend, op, wanted):
    inputs = {"x": (FLOAT, ("N", 6)), "list": (INT64, ("K",))}
    session = Session(onnx_bytes([(op, ["x", "list"], "y", {})], inputs, {"y": (FLOAT, None)}), backend=backend)
    x, none = np.arange(6, dtype=np.float32).reshape(1, 6), np.zeros(0, np.int64)
    found = session.run({"x": x, "list": none})["y"]
    np.testing.assert_array_equal(found, np.array(wanted, np.float32).reshape(found.shape))
    assert found.shape == (len(wanted), np.shape(wanted)[1] if wanted else 6)
    with pytest.raises(InputError, match=r"'x' is empty: float32\[0, 6\]. Pass at least one row"):
        session.run({"x": x[:0], "list": none})


def test_a_list_of_reals_is_a_batch():
    session = Session(onnx_bytes([("Relu", ["x"], "y", {})], {"x": (FLOAT, ("N",))}, {"y": (FLOAT, ("N",))}))
    with pytest.raises(InputError, match=r"'x' is empty: float32\[0\]. Pass at least one row"):
        session.run(np.zeros(0, np.float32))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        pytest.param(
            np.zeros((2, FEATURES)),
            r"input 'x' is float64\[2, 6\], the model expects float32\[N, 6\]. Convert it with .astype\('float32'\)",
            id="float64",
        ),
        pytest.param(
            np.zeros((2, FEATURES), np.float16), r"is float16\[2, 6\], the model expects float32\[N, 6\]", id="float16"
        ),
        pytest.param(
            np.zeros((2, FEATURES), ">f4"), r"is >f4\[2, 6\], the model expects float32\[N, 6\]", id="big-endian"
        ),
        pytest.param(np.zeros((2, FEATURES), "c8"), r"is complex64\[2, 6\], the model expects float32", id="complex"),
        pytest.param(np.array([["a"] * FEATURES]), r"is <U1\[1, 6\], the model expects float32", id="text"),
        pytest.param(
            np.zeros((2, FEATURES, 1), np.float32),
            r"is float32\[2, 6, 1\], the model expects float32\[N, 6\]",
            id="rank",
        ),
        pytest.param(np.float32(1), r"is float32\[\], the model expects float32\[N, 6\]", id="scalar"),
        pytest.param(
            np.zeros((2, 5), np.float32), r"is float32\[2, 5\], the model expects float32\[N, 6\]", id="extent"
        ),
        pytest.param(
            np.zeros((0, FEATURES), np.float32),
            r"input 'x' is empty: float32\[0, 6\]. Pass at least one row",
            id="empty",
        ),
    ],
)
def test_inputs_that_do_not_fit_are_refused_with_both_values(session, x, message):
    y = np.zeros((2, CLASSES), np.float32)
    for call in (session.run, lambda x: session.run({"x": x}), lambda x: session.run_into(x, y)):
        with pytest.raises(InputError, match=message):
            call(x)


def test_nan_is_counted_and_said_what_to_do_about(session):
    x = rows(4)
    x[1, 2] = x[3, 5] = np.nan
    with pytest.raises(InputError, match=r"input 'x' has 2 NaN among 24 values. Replace missing .* numpy.nan_to_num"):
        session.run(x)
    np.testing.assert_allclose(session.run(np.nan_to_num(x)), affine_numpy(np.nan_to_num(x)), rtol=1e-5, atol=1e-5)
    infinite = np.full((1, FEATURES), np.inf, np.float32)
    assert np.isnan(session.run(infinite)).any()  # infinity is a value; what it gives is the model's affair


def test_names_are_checked(session):
    x = rows(1)
    with pytest.raises(InputError, match=r"\['z'\] do not match the model's \['x'\]; missing \['x'\]; unknown \['z'\]"):
        session.run({"z": x})
    with pytest.raises(InputError, match=r"missing \['x'\]"):
        session.run({})
    with pytest.raises(InputError, match=r"unknown \[3\]"):
        session.run({"x": x, 3: x})


def test_one_symbol_has_one_extent():
    with pytest.raises(InputError, match=r"'b' is float32\[2, 2\], .* float32\[N, 2\] and N is 3 in input 'a'"):
        Session(two_by_two()).run({"a": rows(3, 4), "b": rows(2, 2)})


@pytest.mark.parametrize("anything", ["?", "*", "-1", "None"])
def test_what_some_exporters_write_for_any_extent_is_no_symbol(anything):
    nodes = [("Relu", ["a"], "x", {}), ("Neg", ["b"], "y", {})]
    shapes = {name: (FLOAT, (anything, 4)) for name in "abxy"}
    session = Session(onnx_bytes(nodes, {n: shapes[n] for n in "ab"}, {n: shapes[n] for n in "xy"}))
    assert [spec.shape for spec in session.inputs] == [(None, 4)] * 2
    outputs = session.run({"a": rows(3, 4), "b": rows(2, 4)})
    assert [outputs[n].shape for n in "xy"] == [(3, 4), (2, 4)]


@pytest.mark.parametrize("depth", [1, 4, 16, 37, 64])
def test_nothing_is_read_past_the_callers_array(depth):
    """Kernels may read past the end of the engine's own buffers: a caller's array has nothing there."""
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(start + page), page, 0) == 0  # reading the second page is a crash
    session = Session(integer_product(depth))
    for n in (1, 3, 8):
        codes = np.random.default_rng(n).integers(0, 256, (n, depth), np.uint8)
        edge = np.frombuffer(memory, np.uint8, n * depth, page - n * depth).reshape(n, depth)
        edge[:] = codes
        np.testing.assert_array_equal(session.run(edge), session.run(codes))


@pytest.mark.parametrize("threads", [0, 257, -1, 1.0, "2", True, None])
def test_threads_are_an_integer_in_range(threads):
    with pytest.raises(InputError, match=r"threads is .*, expected an integer from 1 to 256"):
        Session(affine(), threads=threads)


def test_threads_may_be_any_integer_type():
    assert Session(affine(), threads=np.int64(2)).info()["threads"] == 2


def test_unknown_device_and_backend():
    with pytest.raises(UnsupportedError, match=r"device is 'tpu', this build has 'auto' and 'cpu'"):
        Session(affine(), device="tpu")
    with pytest.raises(UnsupportedError, match="no backend 'npu', installed are 'native'"):
        Session(affine(), backend="npu")


def test_models_come_as_path_bytes_or_model(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(affine())
    x = rows(1)
    expected = Session(affine()).run(x)
    for source in (path, str(path), affine(), bytearray(affine()), sanderling.load(path)):
        np.testing.assert_array_equal(Session(source).run(x), expected)
    with pytest.raises(InputError, match=r"cannot read .*missing.onnx': No such file or directory"):
        Session(tmp_path / "missing.onnx")
    with pytest.raises(InputError, match="expected a path, bytes, a torch module or a Model, got int"):
        Session(3)


def test_info_says_what_runs(session):
    info = session.info()
    assert info["backend"] == "native"
    assert info["why"] == "asked for by name"
    assert info["threads"] == 1
    assert info["isa"] == sanderling._core.default_isa()
    assert info["operators"] == {"Gemm": 1}
    session.run(rows(1))
    assert session.info()["arena_bytes"] > 0


def test_specs_describe_inputs_and_outputs(session):
    (spec,) = session.inputs
    assert (spec.name, spec.dtype, spec.shape) == ("x", "float32", ("N", FEATURES))
    (spec,) = session.outputs
    assert (spec.name, spec.dtype, spec.shape) == ("y", "float32", ("N", len(BIAS)))


def test_a_closed_session_refuses_and_says_so():
    x, y = rows(2), np.zeros((2, CLASSES), np.float32)
    with Session(affine()) as session:
        call = session.bind(x, y)
        expected = session.run(x)
    for use in (lambda: session.run(x), lambda: session.run_into(x, y), lambda: session.bind(x, y), session.info):
        with pytest.raises(InputError, match=r"the session is closed. Make a new one"):
            use()
    session.close()  # again
    assert session.inputs[0].name == "x"
    call()  # holds what it needs
    np.testing.assert_array_equal(y, expected)


def test_sketches_need_a_watch(session):
    with pytest.raises(InputError, match=r"this session watches nothing. Make it with watch="):
        session.sketches()


def test_threads_that_share_a_session_get_their_own_results():
    session = Session(quantized_mlp(), threads=2)
    alone = Session(quantized_mlp())
    batches = [rows(n, 37, seed=n) for n in range(1, 13)]
    expected = [alone.run(x) for x in batches]
    wrong: list[int] = []

    def work(offset: int) -> None:
        for turn in range(60):
            i = (offset + turn) % len(batches)
            if not np.array_equal(session.run(batches[i]), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_other_python_threads_move_while_the_model_runs():
    session = Session(quantized_mlp(features=512, hidden=512))
    x, y = rows(512, 512), np.zeros((512, 5), np.float32)
    call = session.bind(x, y)
    ticks = 0
    done = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not done.is_set():
            ticks += 1
            time.sleep(0)  # gives the GIL away

    # The interpreter is told never to switch threads by itself, so between the two readings of `ticks` the other thread
    # moves only if the call gives the GIL away. It may not be scheduled during one call, but during one of many it is.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    thread = threading.Thread(target=tick)
    moved = False
    try:
        thread.start()
        for _ in range(500):
            before = ticks
            call()
            moved = ticks > before
            if moved:
                break
    finally:
        done.set()
        sys.setswitchinterval(interval)
        thread.join()
    assert moved


def test_the_interpreter_ends_while_a_daemon_thread_runs_a_model(tmp_path):
    (tmp_path / "model.onnx").write_bytes(quantized_mlp())
    script = """
        import threading
        import numpy as np
        import sanderling

        session = sanderling.Session("model.onnx")
        x = np.zeros((4, 37), np.float32)
        started = threading.Event()

        def forever():
            while True:
                session.run(x)
                started.set()

        for _ in range(3):
            threading.Thread(target=forever, daemon=True).start()
        started.wait()
    """
    for _ in range(5):  # the moment differs
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
