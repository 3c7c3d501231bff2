"""What happens when in `sanderling demo`, and whether it did: acts over a `Site`, each checked and timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from sanderling.api.retrain.v1 import retrain_pb2
from sanderling.api.rollout.v1 import assignment_pb2, rollout_pb2
from sanderling.api.telemetry.v1 import alert_pb2
from sanderling.errors import DeadlineError, SanderlingError
from sanderling.versions import Bundle
from sanderling_devices.demo.fleet import retraining, versions
from sanderling_devices.demo.fleet.operator import FINISHED, state_of
from sanderling_devices.demo.fleet.report import Alarm, Result, Retraining, Settings
from sanderling_devices.demo.fleet.site import WORLD, Site
from sanderling_devices.demo.report import Act, ActStarted

CANARY_PERCENT = 25.0
ACT_S = 90.0
"""No act waits longer for what is to happen."""
LABEL_WINDOWS = 2
LEAST_GAINED, MOST_LOST = 0.1, 0.05
"""Of a single run; over seeds the medians are at least 20 points and at most 2."""
_WINDOW_ROWS = 200
_PAUSE_S = 0.25
_RECENT_ROWS = 600
"""A little more than the rows that an agent compares a candidate's confidence with."""
FAULT = "sensor.fault"
MOVED = "drift.world"

JobState = retrain_pb2.JobState
Watch = Callable[[Site], None]
Emit = Callable[[ActStarted | Act], None]


class Failed(Exception):
    """What was to happen did not."""


def run(settings: Settings, site: Site, emit: Emit, watch: Watch) -> Result:
    """Plays the acts; after one that failed the others are not played.

    Args:
        settings: Of the run.
        site: Where it happens; not used before.
        emit: Told each act as it begins and ends.
        watch: Called again and again while an act waits.
    """
    story = _Story(settings, site, watch)
    acts = (
        ("Enrol", f"{settings.devices} devices join with one-use tokens over TLS.", story.enrol),
        ("Version 1", "Signed, a canary first, then everyone; each device tries it before it commits.", story.first),
        ("One sensor breaks", "It repeats one frame. Its device must be named, and no other.", story.break_one),
        ("The world changes", "Every camera is turned by 30 degrees. The world must be named.", story.change_world),
        ("Version 2", "Samples, labels, training, a gate, a signature; a canary, then everyone.", story.retrain),
        ("A bad version", _BAD[settings.bad_model], story.bad),
    )
    for number, (title, text, play) in enumerate(acts, 1):
        emit(ActStarted(number, title, text))
        began = time.monotonic()
        try:
            act = Act(number, title, True, play())
        except (Failed, SanderlingError) as error:
            act = Act(number, title, False, str(error))
        story.result.acts.append(act)
        story.result.seconds.append(round(time.monotonic() - began, 1))
        emit(act)
        if not act.passed:
            break
    if site.cameras:
        story.result.devices = site.figures()
    return story.result


_BAD = {
    "wrong": "Version 3: validly signed, its own golden samples pass, but its answers are shuffled and half as sure.",
    "hang": "Version 3: validly signed, its own golden samples pass, but it never ends on bright images.",
}


class _Story:
    def __init__(self, settings: Settings, site: Site, watch: Watch) -> None:
        self._settings, self._site, self._watch = settings, site, watch
        self.result = Result(settings)
        self._champion = _name(1)

    # Acts: each returns in words what happened, or raises.

    def enrol(self) -> str:
        site = self._site
        site.start_server()
        site.start_publisher()
        site.enrol()
        site.start_cameras()
        ids = {device.device_id for device in site.devices}

        def all_there() -> bool:
            known = site.operator.devices()
            return set(known) == ids and all(device.HasField("last_seen_at") for device in known.values())

        self._until(all_there, "the first check-in of every device")
        return f"{len(ids)} devices have certificates of their own and have checked in"

    def first(self) -> str:
        bundle = self._site.first_bundle()
        self._measure("version 1", bundle)
        done = self._roll_out(bundle)
        if state_of(done) != "SUCCEEDED":
            raise Failed(f"the rollout of version 1 is {state_of(done)}: {done.reason}")
        canaries = sum(item.stage == 0 for item in done.assignments)
        return f"{canaries} canaries, then all {len(done.assignments)}; on trial for 300 rows each"

    def break_one(self) -> str:
        site, number = self._site, int(np.random.default_rng([self._settings.seed, 3]).integers(self._settings.devices))
        device, camera = site.devices[number], site.cameras[number]
        self._until(self._is_quiet, "a quiet window of all devices after their warm-up")
        before = {alert.alert_id for alert in site.operator.alerts()}
        began = time.monotonic()
        camera.tell(fault="stuck")
        alert = self._alert(FAULT, began, before)
        if list(alert.devices) != [device.device_id]:
            raise Failed(f"camera {number + 1}, {device.device_id}, is stuck; named were {list(alert.devices)}")
        camera.tell(fault=None)
        self._until(self._is_quiet, "a quiet window after the repair")
        wrong = self._others(before | {alert.alert_id})
        if wrong:
            raise Failed(f"beside it there were: {'; '.join(wrong)}")
        return f"camera {number + 1} and no other was named after {self.result.alarms[-1].seconds:.0f} s; then quiet"

    def change_world(self) -> str:
        site = self._site
        before = {alert.alert_id for alert in site.operator.alerts()}
        began = time.monotonic()
        for camera in site.cameras:
            camera.tell(world=WORLD)
        alert = self._alert(MOVED, began, before)
        faults = [other.summary for other in site.operator.alerts() if other.kind == FAULT]
        if faults:
            raise Failed(f"no sensor is broken, and yet: {'; '.join(faults)}")
        seconds = self.result.alarms[-1].seconds
        return f"named as the world after {seconds:.0f} s; {len(alert.devices)} devices alarm by themselves"

    def retrain(self) -> str:
        site, began, wanted = self._site, time.monotonic(), JobState.JOB_STATE_AWAITING_LABELS
        self._until(lambda: self._job().state >= wanted, "a job with samples, opened by the alarm")
        # Whoever labels takes a while: two windows here.
        labels_at = time.monotonic() + LABEL_WINDOWS * _WINDOW_ROWS / self._settings.rate
        self._until(lambda: time.monotonic() >= labels_at, "the labeller")
        if self._job().state == wanted:
            retraining.label(site.server, self._job().job_id, self._settings.seed)
        self._until(lambda: self._job().state >= JobState.JOB_STATE_PUBLISHED, "the end of the job")
        job = self._job()
        gate = tuple(
            f"{item.rows_name}, {item.rows} rows: {item.champion_accuracy:.1%} to {item.challenger_accuracy:.1%}"
            for item in job.gate
        )
        if job.state != JobState.JOB_STATE_PUBLISHED or job.labels > retraining.MOST_LABELS:
            state = JobState.Name(job.state).removeprefix("JOB_STATE_")
            raise Failed(f"the job ended as {state} with {job.labels} labels: {job.reason}; {'; '.join(gate)}")
        version = job.draft_version
        self._until(lambda: bool(site.operator.rollout_of(version)), f"the publisher's rollout of {version}")
        rollout = site.operator.rollout_of(version)
        self._until(lambda: self._holds(rollout), "the canary's end")
        if state_of(site.operator.rollout(rollout)) == "RUNNING":
            site.operator.promote(rollout, 0)
        self._until(lambda: state_of(site.operator.rollout(rollout)) in FINISHED, f"{version} on every device")
        done = site.operator.rollout(rollout)
        if state_of(done) != "SUCCEEDED":
            raise Failed(f"the rollout of {version} is {state_of(done)}: {done.reason}")
        self._measure("version 2", site.publisher.bundle(version))
        self.result.retraining = Retraining(
            version, job.samples, job.sample_bytes, job.labels, job.label_cost, gate, round(time.monotonic() - began, 1)
        )
        read = self.result.accuracy
        gained = read["version 2, changed world"] - read["version 1, changed world"]
        lost = read["version 1"] - read["version 2"]
        if gained < LEAST_GAINED or lost > MOST_LOST:
            raise Failed(f"{version} gained {gained:.1%} on the changed world and lost {lost:.1%} on the old one")
        self._champion = version
        return f"{version} reads {gained:.0%} more of the changed world and {lost:.1%} less of the old one"

    def bad(self) -> str:
        site = self._site
        mark = site.rows()
        self._until(
            lambda: all(now - then > _RECENT_ROWS for now, then in zip(site.rows(), mark, strict=True)),
            "rows of the incumbent to compare with",
        )
        canaries = round(self._settings.devices * CANARY_PERCENT / 100)
        # Not before all have failed: the first failures would call the others back, and each is to find out by itself.
        done = self._roll_out(site.bad_bundle(3, self._champion), (canaries, 1.0))
        if state_of(done) != "ABORTED":
            raise Failed(f"the rollout of version 3 is {state_of(done)}: {done.reason}")
        wanted = "HANG" if self._settings.bad_model == "hang" else "CONFIDENCE"
        self._until(lambda: self._is_gone(3), f"{self._champion} on every device again")
        done = site.operator.rollout(done.rollout_id)
        tried = {item.device_id: item for item in done.assignments if item.attempt}
        codes = {name: _code(item) for name, item in tried.items()}
        # The third canary may be called back before it has found out for itself.
        if not sum(code == wanted for code in codes.values()) >= 2 or not set(codes.values()) <= {wanted, "SUPERSEDED"}:
            raise Failed(f"the canaries ended as {codes}, {wanted} was to be the reason")
        beyond = [
            device.device_id
            for device, served in zip(site.devices, site.served(), strict=True)
            if served.get(_name(3)) and device.device_id not in tried
        ]
        if beyond or len(tried) != canaries:
            raise Failed(f"version 3 answered on {beyond or sorted(tried)}: beyond the canaries")
        detail = next(iter(tried.values())).detail
        return f"reverted on {len(tried)} canaries and gone; {done.reason}. A device says: {detail}"

    # Words they share.

    def _measure(self, name: str, bundle: Bundle) -> None:
        self.result.accuracy[name] = self._site.accuracy(bundle, None)
        self.result.accuracy[f"{name}, changed world"] = self._site.accuracy(bundle, WORLD)

    def _job(self) -> retrain_pb2.Job:
        return self._site.operator.job(versions.SLOT) or retrain_pb2.Job()

    def _holds(self, rollout_id: str) -> bool:
        rollout = self._site.operator.rollout(rollout_id)
        return state_of(rollout) != "RUNNING" or rollout.stages[0].state == rollout_pb2.STAGE_STATE_HOLDING

    def _roll_out(self, bundle: Bundle, limit: tuple[int, float] = (2, 0.5)) -> Any:
        site = self._site
        (name,) = site.operator.push([bundle], site.folder)
        stages = [("canary", CANARY_PERCENT), ("everyone", 100.0)]
        rollout = site.operator.roll_out(name, versions.SLOT, stages, soak_seconds=2.0, limit=limit)
        self._until(lambda: state_of(site.operator.rollout(rollout)) in FINISHED, f"the end of the rollout of {name}")
        return site.operator.rollout(rollout)

    def _is_quiet(self) -> bool:
        window = self._site.operator.last_window(versions.SLOT)
        return (
            window is not None
            and window.scope == alert_pb2.FLEET_SCOPE_QUIET
            and window.reported == self._settings.devices
            and not (window.faulty or window.moved or window.missing)
        )

    def _is_gone(self, number: int) -> bool:
        """Whether no device runs or tries it any more, and the server knows of every result."""
        for state in (device.remembered() for device in self._site.devices):
            slot = state.slots[versions.SLOT] if state is not None else None
            if state is None or state.results or slot is None or slot.update is not None or slot.active is None:
                return False
            if slot.active.release.version == _name(number):
                return False
        return True

    def _alert(self, kind: str, began: float, before: set[str]) -> alert_pb2.Alert:
        found: list[alert_pb2.Alert] = []

        def raised() -> bool:
            found[:] = [a for a in self._site.operator.alerts() if a.kind == kind and a.alert_id not in before]
            return bool(found)

        self._until(raised, f"the alert {kind}")
        alert = found[0]
        seconds = round(time.monotonic() - began, 1)
        self.result.alarms.append(Alarm(kind, tuple(alert.devices), seconds, alert.summary))
        return alert

    def _others(self, known: set[str]) -> list[str]:
        return [alert.summary for alert in self._site.operator.alerts() if alert.alert_id not in known]

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + ACT_S
        while not condition():
            if time.monotonic() > end:
                raise DeadlineError(f"{what} did not come within {ACT_S:.0f} s")
            self._watch(self._site)
            time.sleep(_PAUSE_S)


def _name(number: int) -> str:
    return f"{versions.MODEL}-{number}"


def _code(item: Any) -> str:
    return assignment_pb2.ResultCode.Name(item.code).removeprefix("RESULT_CODE_")
