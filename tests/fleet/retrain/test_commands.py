"""The commands as an operator meets them, against a real server: from a job to a version that was signed."""

import csv
import json
import os
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner
from tests.fleet.retrain.retraining_fleet import NAMES, ROOT, changed_samples, truth_of

from sanderling.errors import InputError
from sanderling_fleet.commands.publisher import publisher
from sanderling_fleet.commands.retrain import retrain
from sanderling_fleet.commands.sample import sample
from sanderling_fleet.retrain.labels import Labelled
from sanderling_fleet.retrain.rows import read_rows


class Oracle:
    """Knows the truth, for a price."""

    def label(self, samples):
        return Labelled(truth_of(samples), 0.25 * len(samples))


oracle = Oracle()


@pytest.fixture
def run(fleet, monkeypatch):
    monkeypatch.setenv("SANDERLING_FLEET_ADDRESS", fleet.server.operator_address)
    monkeypatch.setenv("SANDERLING_FLEET_CA", str(fleet.folder / "operator" / "ca.pem"))
    monkeypatch.setenv("SANDERLING_FLEET_TOKEN", fleet.admin_token)

    def call(group, *words):
        done = CliRunner().invoke(group, [str(word) for word in words], catch_exceptions=True)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return call


def test_from_a_job_to_a_signed_version(fleet, release, run, tmp_path):
    camera = fleet.camera(fleet.release_champion(release))
    job = json.loads(run(retrain, "start", "main", "--reason", "hunch", "-o", "json").stdout)
    job_id = job["job_id"]
    with pytest.raises(InputError, match="no file of samples: it is collecting"):
        run(sample, "export", job_id, tmp_path / "out")
    camera.upload(*changed_samples(1, 120))
    fleet.look()

    assert "120 samples" in run(sample, "export", job_id, tmp_path / "out").stderr
    rows = read_rows((tmp_path / "out" / "samples.npz").read_bytes())
    truth, path = truth_of(rows), tmp_path / "out" / "labels.csv"
    with path.open(newline="") as file:
        lines = list(csv.reader(file))
    assert len(lines) == 121
    assert {line[2] for line in lines[1:]} == {""}
    with pytest.raises(InputError, match="someone's labels"):
        run(sample, "export", job_id, tmp_path / "out")
    filled = [[device, number, truth[device, int(number)]] for device, number, _ in lines[1:41]]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([lines[0], *filled, ["dev-x", 1, NAMES[0]]])
    done = run(sample, "import", job_id, path, "--cost", "2.5")
    assert "waits for labels: 40 of 110" in done.stdout
    assert "1 labels were of samples that the job does not have" in done.stderr
    done = run(sample, "label", job_id, "--labeller", f"{__name__}:oracle", "-o", "json")
    told = json.loads(done.stdout)["job"]
    assert (told["labels"], told["label_cost"]) == (120, 32.5)

    fleet.look()
    fleet.settle()
    shown = run(retrain, "show", job_id)
    assert "passed" in shown.stdout
    assert "drifted" in shown.stdout
    assert "learning from 90 labels" in shown.stderr
    assert "linear-2" in run(retrain, "ls").stdout

    folder = tmp_path / "publisher"
    public = run(publisher, "init", folder, "--model", "linear").stdout.strip()
    where = ("--server", fleet.server.operator_address)
    assert (
        "targets version 3"
        in run(publisher, "delegate", public, "--model", "linear", "--release", fleet.folder / "release", *where).stdout
    )
    assert "waits for a person" in run(publisher, "run", folder, "--once", *where).stdout
    assert "published linear-2" in run(publisher, "sign", folder, job_id, "--canary", *where).stdout
    assert json.loads(run(retrain, "show", job_id, "-o", "json").stdout)["state"] == "JOB_STATE_PUBLISHED"
    assert [item.rollout.spec.version for item in fleet.rollouts()] == ["linear-2"]
    with pytest.raises(InputError, match="is published"):
        run(retrain, "reject", job_id, "--reason", "too late")


def test_the_publisher_runs_until_it_is_told_to_end(fleet, run, tmp_path):
    run(publisher, "init", tmp_path / "publisher", "--model", "linear", "--policy", "auto-canary")
    script = "from sanderling_fleet.commands.publisher import publisher; publisher()"
    running = subprocess.Popen(
        [sys.executable, "-c", script, "run", str(tmp_path / "publisher"), "--every", "1s"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ,
    )
    assert "looks for drafts every 1 s" in running.stderr.readline()
    running.send_signal(signal.SIGTERM)
    _, told = running.communicate(timeout=20)
    assert (running.returncode, told) == (0, "")
