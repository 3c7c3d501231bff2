"""The user's cache of plans: what is in it changes how soon a session starts and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from small_models import FLOAT, affine, onnx_bytes, quantized_mlp, relu

import onnx
import sanderling
from sanderling import InputError, Session, UnsupportedError, _core, _plan_cache

MODELS = {"int8": quantized_mlp(), "float": affine()}
IS_ROOT = os.geteuid() == 0


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own; the folder is not there yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SANDERLING_CACHE", str(folder))
    return folder


def rows(model: bytes, count: int = 3) -> np.ndarray:
    width = sanderling.load(model).inputs[0].shape[1]
    return np.random.default_rng(0).standard_normal((count, width)).astype(np.float32)


def run(model: bytes | Path = MODELS["int8"]) -> tuple[np.ndarray, str, str | None]:
    """The outputs of a new session, where its plan came from, and its file."""
    session = Session(model)
    y = session.run(rows(model if isinstance(model, bytes) else model.read_bytes()))
    info = session.info()
    return y, info["plan"], info["plan_file"]


def only_file(cache: Path) -> Path:
    (file,) = cache.iterdir()
    return file


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_hit_equals_a_miss_bit_for_bit(model: bytes, cache: Path, tmp_path: Path):
    x = rows(model)
    miss = Session(model)
    assert miss.info()["plan"] == "compiled"
    assert miss.info()["plan_file"] is None  # weights are packed when the first plan is made
    expected = miss.run(x)
    assert miss.info()["plan_file"] == str(only_file(cache))

    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    for source in (model, path, sanderling.load(model)):
        hit = Session(source, threads=2)
        assert hit.run(x).tobytes() == expected.tobytes()
        assert hit.info() == {**miss.info(), "plan": "cache", "threads": 2, "arena_bytes": hit.info()["arena_bytes"]}
        assert (hit.inputs, hit.outputs) == (sanderling.load(model).inputs, sanderling.load(model).outputs)
    assert len(list(cache.iterdir())) == 1


def test_a_hit_neither_imports_nor_packs(cache: Path, monkeypatch: pytest.MonkeyPatch):
    run()
    before = only_file(cache).stat()
    monkeypatch.setattr(_core, "Model", None)
    monkeypatch.setattr(_plan_cache.CachedPlan, "write", None)
    session = Session(MODELS["int8"])
    session.run(np.zeros((1, 37), np.float32))
    assert session.info()["plan"] == "cache"
    assert only_file(cache).stat().st_ino == before.st_ino


def test_a_model_with_subgraphs_and_shapes_from_data(cache: Path):
    branches = {}
    for name, scale in (("then", 2.0), ("else", -1.0)):
        w = onnx.numpy_helper.from_array(np.full((4, 3), scale, np.float32), f"{name}_w")
        node = onnx.helper.make_node("MatMul", ["x", f"{name}_w"], [f"{name}_y"])
        out = onnx.helper.make_tensor_value_info(f"{name}_y", FLOAT, None)
        branches[f"{name}_branch"] = onnx.helper.make_graph([node], name, [], [out], [w])
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("If", ["c"], ["y"], **branches),
            onnx.helper.make_node("NonZero", ["y"], ["z"]),
        ],
        "g",
        [
            onnx.helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, []),
            onnx.helper.make_tensor_value_info("x", FLOAT, ["N", 4]),
        ],
        [onnx.helper.make_tensor_value_info(n, t, None) for n, t in (("y", FLOAT), ("z", onnx.TensorProto.INT64))],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    data = model.SerializeToString()
    feeds = [{"c": np.asarray(c), "x": np.ones((2, 4), np.float32)} for c in (True, False)]
    miss, expected = Session(data), []
    for feed in feeds:
        expected.append(miss.run(feed))
    hit = Session(data)
    assert hit.info()["plan"] == "cache"
    for feed, want in zip(feeds, expected, strict=True):
        got = hit.run(feed)
        assert {k: v.tobytes() for k, v in got.items()} == {k: v.tobytes() for k, v in want.items()}
    only_file(cache)


def damages(whole: bytes) -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    for size in (1, 127, 128, 136, len(whole) // 2, len(whole) - 8, len(whole) - 1):
        yield f"cut to {size}", whole[:size]
    yield "longer", whole + bytes(64)
    for at in {
        0,
        8,
        12,
        16,
        48,
        80,
        88,
        96,
        127,
        128,
        *range(136, len(whole), max(1, len(whole) // 40)),
        len(whole) - 1,
    }:
        yield f"byte {at}", whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :]
    yield "text", b"no plan at all" * 100


def test_every_damage_rebuilds_and_repairs(cache: Path):
    expected, *_ = run()
    file = only_file(cache)
    whole = file.read_bytes()
    for what, bytes_ in damages(whole):
        file.write_bytes(bytes_)
        assert Session(MODELS["int8"]).info()["plan"] == "compiled", what
    y, plan, _ = run()
    assert (y.tobytes(), plan) == (expected.tobytes(), "compiled")
    assert file.read_bytes() == whole
    assert run()[1] == "cache"


@pytest.mark.parametrize(
    ("name", "value"),
    [("_version", lambda: "9.9"), ("_core.build_id", lambda: "other")],
)
def test_another_release_or_build_has_another_file(
    name: str, value: object, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    run()
    first = only_file(cache)
    monkeypatch.setattr(f"sanderling._plan_cache.{name}", value)
    assert run()[1] == "compiled"
    (other,) = set(cache.iterdir()) - {first}
    other.write_bytes(first.read_bytes())  # a file of another key under this name
    assert run()[1] == "compiled"
    assert run()[1] == "cache"


def test_another_isa_has_another_file(cache: Path, monkeypatch: pytest.MonkeyPatch):
    isas = _core.runnable_isas()
    if len(isas) < 2:
        pytest.skip("this host runs one instruction set")
    for isa in isas:
        monkeypatch.setenv("SANDERLING_ISA", isa)
        assert run()[1] == "compiled"
        assert run()[1] == "cache"
    assert len(list(cache.iterdir())) == len(isas)


def test_the_folder_and_its_files_are_the_users_alone(cache: Path):
    run()
    assert cache.stat().st_mode & 0o777 == 0o700
    assert only_file(cache).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_to_is_not_read(mode: int, cache: Path):
    run()
    only_file(cache).chmod(mode)
    assert run()[1] == "compiled"
    assert only_file(cache).stat().st_mode & 0o777 == 0o600
    assert run()[1] == "cache"


@pytest.mark.skipif(not IS_ROOT, reason="only root can give files away")
def test_files_of_another_owner_are_not_read(cache: Path):
    run()
    os.chown(only_file(cache), 65534, -1)
    assert run()[1] == "compiled"
    assert run()[1] == "cache"
    os.chown(cache, 65534, -1)
    assert run()[1:] == ("compiled", None)


def test_a_folder_that_others_may_write_to_is_no_cache(cache: Path):
    cache.mkdir()
    cache.chmod(0o777)
    assert run()[1:] == ("compiled", None)
    assert list(cache.iterdir()) == []


def test_links_and_pipes_are_not_followed(cache: Path, tmp_path: Path):
    run()
    file = only_file(cache)
    moved = file.rename(tmp_path / "elsewhere")
    file.symlink_to(moved)
    assert run()[1] == "compiled"
    assert not file.is_symlink()
    file.unlink()
    os.mkfifo(file)
    assert run()[1] == "compiled"
    assert run()[1] == "cache"


@pytest.mark.parametrize("folder", ["/proc/self/none", "/dev/null/none", "/dev/null"])
def test_a_folder_that_cannot_be_made_is_no_cache(folder: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SANDERLING_CACHE", folder)
    assert run()[1:] == ("compiled", None)


READ_ONLY = """
import os, sys
import numpy as np
from sanderling import Session
os.setuid(int(sys.argv[1]))
session = Session(sys.stdin.buffer.read())
session.run(np.zeros((1, 37), np.float32))
print(session.info()["plan"], session.info()["plan_file"])
"""


def test_a_read_only_folder_is_no_cache_to_write_to(tmp_path: Path):
    folder = tmp_path / "read-only"
    folder.mkdir()
    user = 65534 if IS_ROOT else os.geteuid()
    os.chown(folder, user, -1)
    for parent in (tmp_path, *tmp_path.parents[:3]):
        if IS_ROOT and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o011)
    folder.chmod(0o500)
    command = [sys.executable, "-c", READ_ONLY, str(user)]
    environment = {**os.environ, "SANDERLING_CACHE": str(folder)}
    for mode, told in ((0o500, "compiled None"), (0o700, f"compiled {folder}"), (0o500, f"cache {folder}")):
        folder.chmod(mode)
        done = subprocess.run(command, input=MODELS["int8"], env=environment, capture_output=True, check=False)
        assert done.stdout.decode().startswith(told), done.stderr


def test_off(cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SANDERLING_CACHE", "off")
    assert run()[1:] == ("compiled", None)
    assert run()[1:] == ("compiled", None)
    assert not cache.exists()


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("SANDERLING_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # its specification says to ignore that
    assert Path(run()[2] or "").parent == tmp_path / ".cache" / "sanderling"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert Path(run()[2] or "").parent == tmp_path / "xdg" / "sanderling"


def test_least_recently_used_plans_go_first(cache: Path, monkeypatch: pytest.MonkeyPatch):
    models = [quantized_mlp(seed) for seed in range(4)]
    files = []
    for age, model in zip((400, 300, 200), models[:3], strict=True):
        files.append(Path(run(model)[2] or ""))
        os.utime(files[-1], (time.time() - age, time.time() - age))
    assert run(models[0])[1] == "cache"  # used just now
    size = files[0].stat().st_size
    monkeypatch.setenv("SANDERLING_CACHE_BYTES", str(3 * size))
    newest = Path(run(models[3])[2] or "")
    assert set(cache.iterdir()) == {files[0], files[2], newest}
    monkeypatch.setenv("SANDERLING_CACHE_BYTES", str(size - 1))
    assert run(quantized_mlp(9))[1:] == ("compiled", None)  # larger than the whole cache
    assert set(cache.iterdir()) == {files[0], files[2], newest}


WRITER = """
import os, sys
import numpy as np
from sanderling import Session, _core
if sys.argv[1] == "killed":
    def write(plan, descriptor, key):
        os.write(descriptor, b"SDRLPLAN" + bytes(1000))
        os.kill(os.getpid(), 9)
    _core.Plan.write = write
session = Session(sys.stdin.buffer.read())
y = session.run(np.ones((2, 37), np.float32))
print(y.tobytes().hex(), session.info()["plan_file"] is not None)
"""


def test_a_killed_writer_leaves_nothing_that_is_read(cache: Path):
    done = subprocess.run([sys.executable, "-c", WRITER, "killed"], input=MODELS["int8"], check=False)
    assert done.returncode == -signal.SIGKILL
    left = only_file(cache)
    assert left.suffix == ".tmp"
    assert run()[1] == "compiled"
    assert left.exists()  # its writer may be alive
    os.utime(left, (0, 0))
    run(quantized_mlp(1))
    assert not left.exists()
    assert run()[1] == "cache"


def test_processes_at_once(cache: Path):
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, "writes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    told = set()
    for writer in writers:
        told.add(writer.communicate(MODELS["int8"])[0])
    (line,) = told
    assert line.endswith(b" True\n")
    assert only_file(cache).suffix == ".plan"
    assert run()[1] == "cache"


def test_threads_at_once():
    model = sanderling.load(MODELS["int8"])
    start = threading.Barrier(4)

    def session() -> Session:
        start.wait()
        made = Session(model)
        made.run(rows(MODELS["int8"]))
        return made

    with ThreadPoolExecutor(4) as pool:
        sessions = [future.result() for future in [pool.submit(session) for _ in range(4)]]
    assert len({id(made._run._plan) for made in sessions}) == 1  # one set of weights
    assert run()[1] == "cache"


def test_every_way_to_run_keeps_the_plan(cache: Path):
    x, y = np.zeros((1, 37), np.float32), np.zeros((1, 5), np.float32)
    for way in range(4):
        session = Session(MODELS["int8"])
        if way == 0:
            session.run({"x": x})
        elif way == 1:
            session.run_into(x, y)
        elif way == 2:
            call = session.bind(x, y)
            assert not cache.exists()
            call()
        else:
            with sanderling.Batcher(session, max_batch_size=2) as batcher:
                batcher.submit(x).result()
        assert session.info()["plan"] == "compiled"
        only_file(cache).unlink()
        cache.rmdir()


def test_a_run_that_fails_keeps_nothing(cache: Path):
    session = Session(MODELS["int8"])
    with pytest.raises(InputError):
        session.run(np.full((1, 37), np.nan, np.float32))
    assert not cache.exists()
    session.run(np.zeros((1, 37), np.float32))
    only_file(cache)


def test_weight_bytes():
    session = Session(MODELS["float"])
    before = session.info()["weight_bytes"]
    assert before >= (6 * 3 + 3) * 4
    session.run(rows(MODELS["float"]))
    assert session.info()["weight_bytes"] > before  # packed


def chain(width: int = 256) -> bytes:
    """float32 x [N, width] -> softmax(relu(x)): one tensor in between."""
    return onnx_bytes(
        [("Relu", ["x"], "r", {}), ("Softmax", ["r"], "y", {"axis": 1})],
        {"x": (FLOAT, ("N", width))},
        {"y": (FLOAT, ("N", width))},
    )


def test_memory_limit():
    session = Session(chain(), memory_limit_bytes=100_000)
    session.run(np.zeros((8, 256), np.float32))
    held = session.info()["arena_bytes"]
    assert 8 * 256 * 4 <= held <= 100_000
    with pytest.raises(InputError, match=r"need (\d+) bytes.*memory_limit_bytes is 100000"):
        session.run(np.zeros((200, 256), np.float32))
    assert session.info()["arena_bytes"] == held
    session.run(np.zeros((8, 256), np.float32))
    with pytest.raises(InputError, match="memory_limit_bytes is 100000"):
        session.bind(np.zeros((200, 256), np.float32), np.zeros((200, 256), np.float32))
    Session(chain()).run(np.zeros((200, 256), np.float32))


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "1", 1 << 63])
def test_memory_limits_that_are_none(limit: object):
    with pytest.raises(InputError, match="memory_limit_bytes is"):
        Session(relu(), memory_limit_bytes=limit)  # type: ignore[arg-type]


def test_only_native_keeps_a_memory_limit():
    with pytest.raises(UnsupportedError, match="memory_limit_bytes"):
        Session(relu(), backend="onnxruntime", memory_limit_bytes=1000)


def test_data_beside_the_model_is_part_of_the_key(cache: Path, tmp_path: Path):
    model = onnx.load_from_string(affine())
    path, data = tmp_path / "model.onnx", tmp_path / "weights.bin"
    onnx.save(model, path, save_as_external_data=True, location=data.name, size_threshold=0)
    expected = Session(affine()).run(rows(affine()))
    for plan in ("compiled", "cache"):
        for source in (path, sanderling.load(path)):
            session = Session(source)
            assert session.run(rows(affine())).tobytes() == expected.tobytes()
            assert session.info()["plan"] == plan
            plan = "cache"
    data.write_bytes(bytes(data.stat().st_size))  # the same size, zeros
    session = Session(path)
    assert session.info()["plan"] == "compiled"
    assert not session.run(rows(affine())).any()
    data.unlink()
    with pytest.raises(sanderling.ModelError):
        Session(path)
    with pytest.raises(UnsupportedError):
        Session(path.read_bytes())


def test_a_watching_session_counts_the_same(cache: Path):
    x = rows(MODELS["int8"], 400)
    reference = sanderling.drift.Reference.fit(x, Session(MODELS["int8"]).run(x))
    seen = []
    for plan in ("compiled", "cache"):
        if plan == "compiled":
            only_file(cache).unlink()
        session = Session(MODELS["int8"], watch=reference)
        session.run(x)
        assert session.info()["plan"] == plan
        seen.append(session.sketches())
    assert seen[0].codes.keys() == seen[1].codes.keys() != set()
    for name, histogram in seen[0].codes.items():
        np.testing.assert_array_equal(histogram.counts, seen[1].codes[name].counts)


def test_a_memory_limit_counts_subgraphs():
    nodes = [("Relu", "x", "r"), ("Softmax", "r", "s")]
    branch = onnx.helper.make_graph(
        [onnx.helper.make_node(op, [a], [b]) for op, a, b in nodes],
        "branch",
        [],
        [onnx.helper.make_tensor_value_info("s", FLOAT, None)],
    )
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)],
        "g",
        [
            onnx.helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, []),
            onnx.helper.make_tensor_value_info("x", FLOAT, ["N", 256]),
        ],
        [onnx.helper.make_tensor_value_info("y", FLOAT, ["N", 256])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    session = Session(model.SerializeToString(), memory_limit_bytes=100_000)
    session.run({"c": np.asarray(True), "x": np.zeros((8, 256), np.float32)})
    held = session.info()["arena_bytes"]
    assert held > 2 * 8 * 256 * 4  # of both branches
    with pytest.raises(InputError, match="memory_limit_bytes is 100000"):
        session.run({"c": np.asarray(True), "x": np.zeros((100, 256), np.float32)})
    assert session.info()["arena_bytes"] <= 100_000
