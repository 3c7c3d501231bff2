"""The trainer's process with real entry points: what it sees, what it may not, and how it ends."""

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np
import pytest
from tests.fleet.retrain.trainers import linear_onnx

import sanderling
from sanderling_fleet.retrain.confine import Limits
from sanderling_fleet.retrain.rows import write_arrays
from sanderling_fleet.retrain.train_process import CHALLENGER, REFUSED, TrainTask
from sanderling_fleet.retrain.worker import PROCESS, discard, end_leftover, fresh_folder, run_module

HERE = str(Path(__file__).resolve().parents[3])
MODULE = "sanderling_fleet.retrain.train_process"


def prepare(folder, entry_point, **limits):
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(40, 4)).astype(np.float32)
    samples = {
        "in:x": rows,
        "labels": (rows[:, 0] > 0).astype(np.int64),
        "weight": np.ones(40),
        "device_id": np.array(["d1"] * 40),
    }
    given, work = fresh_folder(
        folder, {"samples.npz": write_arrays(samples), "champion.onnx": linear_onnx(np.eye(2, 4), [0, 0])}
    )
    return TrainTask(
        entry_point=f"tests.fleet.retrain.trainers:{entry_point}",
        code=(HERE,),
        given=str(given),
        workdir=str(work),
        data=(),
        seed=7,
        deadline=time.time() + 60,
        class_names=("no", "yes"),
        limits=dataclasses.asdict(dataclasses.replace(Limits(), **limits)),
    ).to_text()


def run(folder, entry_point, deadline_seconds=60.0, **limits):
    task = prepare(folder, entry_point, **limits)
    seen = []
    finished = asyncio.run(
        run_module(
            MODULE,
            task,
            folder,
            deadline_seconds=deadline_seconds,
            on_progress=lambda progress, tail: seen.append(progress),
        )
    )
    return finished, seen


def gone(pid, within=10.0):
    """Whether a process ends; a zombie has ended."""
    for _ in range(int(within / 0.02)):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


def test_it_trains_and_tells_how_far_it_is(tmp_path):
    finished, seen = run(tmp_path / "job", "nearest_mean")
    assert (finished.code, finished.overdue) == (0, False), finished.log_tail
    assert seen[-1] == 1.0
    assert set(seen) <= {0.5, 1.0}
    assert "learning from 40 labels" in finished.log_tail
    with sanderling.Session((tmp_path / "job" / "work" / CHALLENGER).read_bytes()) as session:
        answers = session.run(np.array([[2, 0, 0, 0], [-2, 0, 0, 0]], np.float32)).argmax(axis=1)
    assert answers.tolist() == [1, 0]


def test_it_sees_no_credentials_and_writes_only_its_folder(tmp_path, monkeypatch):
    (tmp_path / "secret.key").write_text("secret")
    monkeypatch.setenv("SANDERLING_FLEET_TOKEN", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    finished, _ = run(tmp_path / "retrain" / "job", "tells_all")
    assert finished.code == 0, finished.log_tail
    lines = dict(line.split(" ", 1) for line in finished.log_tail.splitlines() if " " in line)
    variables = set(json.loads(lines["environment"].replace("'", '"')))
    assert variables <= {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "SANDERLING_ISA", "PYTHONPATH"} | {
        "HOME",
        "TMPDIR",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONUNBUFFERED",
    }
    assert lines["writable"] == "inputs False"
    if "no Landlock" in finished.log_tail:
        pytest.skip("this kernel has no Landlock: a process can read what its user can")
    assert [lines[what] for what in ("secret", "outside", "given")] == ["PermissionError"] * 3
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("entry_point", "code", "said"),
    [
        ("fails", 1, "the samples are too dark"),
        ("not_there", REFUSED, "has no attribute 'not_there'"),
        ("returns_nothing", REFUSED, "returned NoneType"),
    ],
)
def test_failures_tell_why(entry_point, code, said, tmp_path):
    finished, _ = run(tmp_path / "job", entry_point)
    assert finished.code == code
    assert said in finished.log_tail
    assert not (tmp_path / "job" / "work" / CHALLENGER).exists()


def test_memory_is_limited(tmp_path):
    finished, _ = run(tmp_path / "job", "takes_memory", memory_bytes=4 << 30)
    assert finished.code == 1
    assert "MemoryError" in finished.log_tail


def test_at_its_deadline_it_is_killed(tmp_path):
    finished, _ = run(tmp_path / "job", "hangs", deadline_seconds=0.5)
    assert (finished.overdue, finished.code) == (True, -signal.SIGKILL)
    assert finished.how == "was killed at its deadline"
    assert not (tmp_path / "job" / PROCESS).exists()


def test_a_cancelled_caller_kills_it_and_what_it_started(tmp_path):
    folder = tmp_path / "job"
    task = prepare(folder, "hangs")

    async def cancel():
        begun = asyncio.Event()
        running = asyncio.create_task(
            run_module(MODULE, task, folder, deadline_seconds=60.0, on_progress=lambda progress, tail: begun.set())
        )
        await asyncio.wait_for(begun.wait(), 30)
        pid = json.loads((folder / PROCESS).read_text())["pid"]
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return pid

    assert gone(asyncio.run(cancel()))
    assert gone(int((folder / "work" / "child").read_text()))


def test_what_a_killed_server_left_is_found_and_killed_once(tmp_path):
    folder = tmp_path / "job"
    task = prepare(folder, "hangs")
    server = os.fork()
    if server == 0:
        asyncio.run(run_module(MODULE, task, folder, deadline_seconds=60.0))
        os._exit(0)
    for _ in range(1500):
        if (folder / "work" / "child").exists():
            break
        time.sleep(0.02)
    said = json.loads((folder / PROCESS).read_text())
    child = int((folder / "work" / "child").read_text())
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)
    assert gone(said["pid"]), "the kernel kills the trainer with the server"
    assert end_leftover(folder), "what the trainer started has lived on"
    assert gone(child)
    assert not end_leftover(folder)
    given, work = fresh_folder(folder, {"a": b"1"})
    assert ([path.name for path in given.iterdir()], list(work.iterdir())) == (["a"], [])


@pytest.mark.parametrize("boot", [None, "another boot"])
def test_processes_of_others_are_left_alone(boot, tmp_path):
    said = {"pid": os.getsid(0), "boot": boot or Path("/proc/sys/kernel/random/boot_id").read_text().strip()}
    (tmp_path / PROCESS).write_text(json.dumps(said))
    assert not end_leftover(tmp_path)


def test_nonsense_and_floods_on_the_progress_pipe_harm_nobody(tmp_path):
    """A trainer that writes what it likes there: the server reads on, at its own pace."""
    finished, seen = run(tmp_path / "job", "reports_nonsense")
    assert (finished.code, finished.overdue) == (0, False), finished.log_tail
    assert seen[-1] == 1.0
    assert len(seen) < 200, "of a hundred thousand lines"


def test_it_reaches_no_process_of_the_servers(tmp_path):
    finished, _ = run(tmp_path / "job", "signals_the_server")
    assert finished.code == 0, finished.log_tail
    if "Landlock of this kernel" in finished.log_tail or "no Landlock" in finished.log_tail:
        pytest.skip("this kernel's Landlock knows no scopes")
    assert "signal PermissionError" in finished.log_tail


def test_what_a_trainer_left_is_deleted_however_it_made_it(tmp_path):
    """As the user that a server is, who is not above modes."""
    place = Path(tempfile.mkdtemp(prefix="sanderling-left-"))
    try:
        child = os.fork()
        if child == 0:
            if os.getuid() == 0:
                place.chmod(0o777)
                os.setuid(65534)
            _leaves_and_comes_again(place / "job")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        subprocess.run(["rm", "-rf", str(place)], check=True)


def _leaves_and_comes_again(folder):
    """In a child: exits with 0 if a fresh folder could be made over what was left."""
    try:
        _, work = fresh_folder(folder, {"a": b"1"})
        (work / "locked" / "inside").mkdir(parents=True)
        (work / "locked" / "inside" / "file").touch()
        (work / "locked" / "inside").chmod(0)
        (work / "locked").chmod(0)
        (work / "link").symlink_to("/")
        os.mkfifo(work / "fifo")
        os.chdir(work)
        for _ in range(3000):
            os.mkdir("deep")
            os.chdir("deep")
        os.chdir("/")
        inside, work = fresh_folder(folder, {"b": b"2"})
        assert [path.name for path in inside.iterdir()] == ["b"]
        assert list(work.iterdir()) == []
        discard(folder)
        os._exit(0 if not folder.exists() else 2)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
