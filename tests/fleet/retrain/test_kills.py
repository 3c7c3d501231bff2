"""A server that is killed with SIGKILL before or after any of its commits, while a job trains and is judged."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
from tests.fleet.retrain.retraining_fleet import ROOT, RetrainingFleet, changed_samples, label_all

from sanderling.api.retrain.v1 import retrain_pb2 as pb
from sanderling_fleet.trust.release import ReleaseFolder

# Looks after the jobs until none is open but a draft; kills itself at commit number `left`, before it or after it.
SERVER = """
import asyncio, os, signal, sys
from contextlib import asynccontextmanager
from pathlib import Path
from sanderling_fleet import folders
from sanderling_fleet.retrain.config import load_models
from sanderling_fleet.retrain.driver import Retrainer
folder, left, when = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

def die(moment):
    if left == 0 and when == moment:
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    core = await folders.open_core(folder)
    inner = core.store.transaction

    @asynccontextmanager
    async def transaction():
        global left
        async with inner() as tx:
            yield tx
            left -= 1
            die("before")
        die("after")

    core.store.transaction = transaction
    retrainer = Retrainer(core, load_models(folder / "retrain.toml"), folder / "retrain")
    for _ in range(2):
        await retrainer.look()
        await retrainer.settle()
    await core.store.close()
    print("ended", flush=True)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """The folder of a fleet with a job that has its labels and waits to be trained."""
    folder = tmp_path_factory.mktemp("labelled") / "fleet"
    with RetrainingFleet(folder, plan={"most_attempts": 3}) as fleet:
        camera = fleet.camera(fleet.release_champion(ReleaseFolder(folder / "release")))
        job = fleet.client().start("r1", "main", "")
        camera.upload(*changed_samples(1, 120))
        fleet.look()
        label_all(fleet.client(), job.job_id)
    return folder


def killed(folder, left, when):
    ended = subprocess.run(
        [sys.executable, "-c", SERVER, str(folder / "server"), str(left), when],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env=os.environ,
    )
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
    return ended.returncode != 0


def goes_on(folder):
    """The next server brings the job to its draft."""
    with RetrainingFleet(folder) as fleet:
        fleet.look()
        fleet.settle()
        (job,) = fleet.client().jobs()
        assert job.state == pb.JOB_STATE_DRAFT, job
        assert (job.draft_version, job.labels, len(job.gate)) == ("linear-2", 120, 3)
        assert [item.job_id for item in fleet.client().drafts()] == [job.job_id]


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_in_the_middle(when, labelled, tmp_path):
    folder = shutil.copytree(labelled, tmp_path / "fleet")
    assert killed(folder, 5, when)
    goes_on(folder)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_commit(when, labelled, tmp_path):
    commits = 0
    for left in range(1, 40):
        folder = shutil.copytree(labelled, tmp_path / f"fleet{left}")
        if not killed(folder, left, when):
            break
        commits += 1
        goes_on(folder)
    assert commits >= 10


def test_two_kills_in_a_row_leave_an_attempt(labelled, tmp_path):
    folder = shutil.copytree(labelled, tmp_path / "fleet")
    assert killed(folder, 5, "after")
    assert killed(folder, 5, "after")
    goes_on(folder)
