"""What happens when in `sanderling demo`, and whether it did: acts over a `Site`, each checked and timed."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sanderling.api.retrain.v1 import retrain_pb2
from sanderling.api.rollout.v1 import assignment_pb2, rollout_pb2
from sanderling.api.telemetry.v1 import alert_pb2
from sanderling.errors import DeadlineError, SanderlingError
from sanderling.versions import Bundle
from sanderling_devices.demo.fleet import retraining, versions, windows
from sanderling_devices.demo.fleet.operator import FINISHED, state_of
from sanderling_devices.demo.fleet.report import (
    CANARY_PERCENT,
    CHANGED,
    FAULT,
    WORLD_MOVED,
    Alarm,
    Canary,
    Compared,
    Result,
    Retraining,
    Settings,
    TakenBack,
)
from sanderling_devices.demo.fleet.site import WORLD, Site
from sanderling_devices.demo.report import Act, ActStarted

ACT_S = 240.0
"""No act waits longer for any one thing; on a quiet machine a whole run is shorter."""
LABEL_WINDOWS = 2
LEAST_GAINED, MOST_LOST = 0.1, 0.05
"""Of a single run; over seeds the medians are at least 20 points and at most 2."""
_WINDOW_ROWS = 200
_PAUSE_S = 0.25
_THINK_S = 3.0
"""With delays: the most that an operator hesitates."""
_RECENT_ROWS = 600
"""A little more than the rows that an agent compares a candidate's confidence with."""

JobState = retrain_pb2.JobState
Watch = Callable[[Site, str], None]
Emit = Callable[[ActStarted | Act], None]


class Failed(Exception):
    """What was to happen did not."""


def run(settings: Settings, site: Site, emit: Emit, watch: Watch) -> Result:
    """Plays the acts; after one that failed the others are not played.

    Args:
        settings: Of the run.
        site: Where it happens; not used before.
        emit: Told each act as it begins and ends.
        watch: Called again and again while an act waits, with what for.
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
    began_all = time.monotonic()
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
    story.count_windows()
    story.result.seconds_in_all = round(time.monotonic() - began_all, 1)
    if all(device.device_id for device in site.devices):
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
        self._causes: list[tuple[Sequence[int], list[int]]] = []

    # Acts: each returns in words what happened, or raises.

    def enrol(self) -> str:
        site = self._site
        site.start_server()
        site.start_all_else(lambda: self._watch(site, "all devices to enrol"))
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
        self._hesitate()
        before = self._windows()
        loud = [window.window for window in before if window.moved or window.faulty]
        if loud:
            raise Failed(f"nothing has happened yet, and windows {loud} of the fleet were not quiet")
        alert = self._alert(FAULT, lambda: camera.tell(fault="stuck"))
        if list(alert.devices) != [device.device_id]:
            raise Failed(f"camera {number + 1}, {device.device_id}, is stuck; named were {list(alert.devices)}")
        self._hesitate()
        camera.tell(fault=None)
        self._until(self._is_quiet, "a quiet window after the repair")
        # What also stands or stood: the fault's first rows may look like a device that moved, until it is named.
        named = {name for window in self._windows() for name in (*window.moved, *window.faulty)} - {device.device_id}
        standing = [alert.summary for alert in site.operator.alerts()]
        if named or standing:
            raise Failed(f"camera {number + 1} alone was stuck; named were also {sorted(named)}; standing: {standing}")
        return (
            f"camera {number + 1} and no other was named after {self.result.alarms[-1].seconds:.0f} s; quiet before "
            f"({len(before)} windows) and after"
        )

    def change_world(self) -> str:
        site = self._site
        self._hesitate()
        before = len(self._windows())

        def change() -> None:
            for camera in site.cameras:
                camera.tell(world=WORLD)

        alert = self._alert(WORLD_MOVED, change)
        faulty = sorted({name for window in self._windows()[before:] for name in window.faulty})
        if faulty:
            raise Failed(f"no sensor is broken, and yet named were {faulty}")
        seconds = self.result.alarms[-1].seconds
        return f"named as the world after {seconds:.0f} s; {len(alert.devices)} devices alarm by themselves"

    def retrain(self) -> str:
        site, began, wanted = self._site, time.monotonic(), JobState.JOB_STATE_AWAITING_LABELS
        self._until(lambda: bool(self._job().samples_digest), "a job with samples, opened by the alarm")
        # Whoever labels takes a while: two windows here.
        ready = site.rows()
        self._until(lambda: self._windows_since(ready) >= LABEL_WINDOWS, "the labeller")
        self._hesitate()
        wrong, late = 0, self._windows_since(ready)
        if self._job().state == wanted:
            told = site.folder / "labelled.json"
            wrong = retraining.label(site.server, self._job().job_id, self._settings.seed, told)
        self._until(lambda: self._job().state >= JobState.JOB_STATE_PUBLISHED, "the end of the job")
        job = self._job()
        state = JobState.Name(job.state).removeprefix("JOB_STATE_")
        gate = tuple(
            Compared(item.rows_name, item.rows, item.champion_accuracy, item.challenger_accuracy, item.passed)
            for item in job.gate
        )
        if job.state != JobState.JOB_STATE_PUBLISHED:
            raise Failed(f"the job ended as {state} with {job.labels} labels: {job.reason}; {gate}")
        budget = retraining.device_budget_bytes(self._settings.devices) * self._settings.devices
        if job.labels > retraining.MOST_LABELS or job.sample_bytes > budget:
            raise Failed(f"{job.labels} labels of {job.sample_bytes} bytes of samples: beyond the budget")
        version = job.draft_version
        self._until(lambda: bool(site.operator.rollout_of(version)), f"the publisher's rollout of {version}")
        rollout = site.operator.rollout_of(version)
        self._until(lambda: self._holds(rollout), "the canary's end")
        if state_of(site.operator.rollout(rollout)) == "RUNNING":
            self._hesitate()
            site.operator.promote(rollout, 0)
        self._until(lambda: state_of(site.operator.rollout(rollout)) in FINISHED, f"{version} on every device")
        done = site.operator.rollout(rollout)
        if state_of(done) != "SUCCEEDED":
            raise Failed(f"the rollout of {version} is {state_of(done)}: {done.reason}")
        self.result.retraining = Retraining(
            version=version,
            state=state,
            gate=gate,
            samples=job.samples,
            sample_bytes=job.sample_bytes,
            budget_bytes=budget,
            labels=job.labels,
            wrong_labels=wrong,
            labels_late_windows=round(late, 1),
            label_cost=job.label_cost,
            seconds=round(time.monotonic() - began, 1),
        )
        self._measure("version 2", site.publisher.bundle(version))
        read = self.result.accuracy
        gained = read[f"version 2, {CHANGED}"] - read[f"version 1, {CHANGED}"]
        lost = read["version 1"] - read["version 2"]
        if gained < LEAST_GAINED or lost > MOST_LOST:
            raise Failed(f"{version} gained {gained:.1%} on the changed world and lost {lost:.1%} on the old one")
        self._champion = version
        kept = 0.0 - 100 * lost  # not -0.0
        return f"{version} reads {100 * gained:+.0f} points of the changed world and {kept:+.1f} of the old one"

    def bad(self) -> str:
        site, settings, name = self._site, self._settings, _name(3)
        self._until(lambda: min(site.served(self._champion)) > _RECENT_ROWS, "rows of the incumbent to compare with")
        # Not before all have failed: the first failures would call the others back, and each is to find out by itself.
        done = self._roll_out(site.bad_bundle(3, self._champion), (settings.canaries, 1.0))
        self._until(lambda: self._is_gone(name), f"{self._champion} on every device again")
        mark = site.rows()
        self._until(lambda: self._windows_since(mark) > 0, "rows that every device answers without it")
        done = site.operator.rollout(done.rollout_id)
        tried = {site.camera_of(item.device_id): item for item in done.assignments if item.attempt}
        figures = {item.camera: item for item in site.figures()}
        answered = dict(enumerate(site.served(name), 1))
        canaries = tuple(
            Canary(camera, _code(item), item.detail, answered[camera], figures[camera].version)
            for camera, item in sorted(tried.items())
        )
        beyond = sum(rows for camera, rows in answered.items() if camera not in tried)
        self.result.taken_back = TakenBack(name, state_of(done), done.reason, canaries, beyond)
        if state_of(done) != "ABORTED":
            raise Failed(f"the rollout of version 3 is {state_of(done)}: {done.reason}")
        wanted = "HANG" if settings.bad_model == "hang" else "CONFIDENCE"
        codes = {canary.camera: canary.code for canary in canaries}
        if len(codes) != settings.canaries or set(codes.values()) != {wanted}:
            raise Failed(f"{wanted} was to be the reason on {settings.canaries} canaries, it is {codes} by camera")
        if beyond:
            raise Failed(f"version 3 answered {beyond} rows beyond the canaries")
        return (
            f"reverted on {len(tried)} canaries and gone; {done.reason}. Camera {canaries[0].camera}'s device says: "
            f"{canaries[0].detail}"
        )

    # Words they share.

    def _measure(self, name: str, bundle: Bundle) -> None:
        self.result.accuracy[name] = self._site.accuracy(bundle, None)
        self.result.accuracy[f"{name}, {CHANGED}"] = self._site.accuracy(bundle, WORLD)

    def _job(self) -> retrain_pb2.Job:
        return self._site.operator.job(versions.SLOT) or retrain_pb2.Job()

    def _holds(self, rollout_id: str) -> bool:
        rollout = self._site.operator.rollout(rollout_id)
        return state_of(rollout) != "RUNNING" or rollout.stages[0].state == rollout_pb2.STAGE_STATE_HOLDING

    def _roll_out(self, bundle: Bundle, limit: tuple[int, float] = (2, 0.5)) -> Any:
        site = self._site
        (name,) = site.operator.push([bundle], site.folder)
        self._hesitate()
        stages = [("canary", CANARY_PERCENT), ("everyone", 100.0)]
        rollout = site.operator.roll_out(name, versions.SLOT, stages, soak_seconds=retraining.SOAK_S, limit=limit)
        self._until(lambda: state_of(site.operator.rollout(rollout)) in FINISHED, f"the end of the rollout of {name}")
        return site.operator.rollout(rollout)

    def _windows(self) -> list[alert_pb2.FleetWindow]:
        """The fleet's, oldest first."""
        return self._site.operator.windows(versions.SLOT)[::-1]

    def _windows_since(self, mark: list[int]) -> float:
        """How many windows of rows every camera has had answered since it had this many rows."""
        return min(now - then for now, then in zip(self._site.rows(), mark, strict=True)) / _WINDOW_ROWS

    def _is_quiet(self) -> bool:
        """Whether the last window of the fleet, in which all devices have a say, names nothing."""
        latest = self._site.operator.windows(versions.SLOT, 1)
        return bool(latest) and (
            latest[0].scope == alert_pb2.FLEET_SCOPE_QUIET
            and latest[0].reported == self._settings.devices
            and not (latest[0].faulty or latest[0].moved or latest[0].missing)
        )

    def _is_gone(self, version: str) -> bool:
        """Whether no device runs or tries it any more, and the server knows of every result."""
        for device in self._site.devices:
            state = device.remembered()
            slot = state.slots[versions.SLOT] if state is not None else None
            if state is None or state.results or slot is None or slot.update is not None or slot.active is None:
                return False
            runner = device.processes().get(f"runner/{versions.SLOT}/{version}")
            if slot.active.release.version == version or (runner is not None and runner.is_alive()):
                return False
        return True

    def _alert(self, kind: str, cause: Callable[[], None]) -> alert_pb2.Alert:
        """Does what is to raise an alert, and waits for it."""
        site = self._site
        known = {alert.alert_id for alert in site.operator.alerts()}
        began = time.monotonic()
        cause()
        found: list[alert_pb2.Alert] = []

        def raised() -> bool:
            found[:] = [a for a in site.operator.alerts() if a.kind == kind and a.alert_id not in known]
            return bool(found)

        self._until(raised, f"the alert {kind}")
        seconds, alert = round(time.monotonic() - began, 1), found[0]
        cameras = tuple(sorted(map(site.camera_of, alert.devices)))
        self.result.alarms.append(Alarm(kind, cameras, seconds, 0, alert.summary))
        self._causes.append((cameras if kind == FAULT else range(1, self._settings.devices + 1), site.before(_name(1))))
        return alert

    def count_windows(self) -> None:
        """Fills in how many windows each alarm took; later than the alarms, when all devices have sent theirs."""
        for i, (cameras, before) in enumerate(self._causes):
            alarm, took = self.result.alarms[i], []
            for camera in cameras:
                began = before[camera - 1] // _WINDOW_ROWS + 1
                said = self._site.heard.of(self._site.devices[camera - 1].device_id, _name(1))
                shown = windows.first(said, windows.FAULT if alarm.kind == FAULT else windows.MOVED, began)
                took += [] if shown is None else [shown - began + 1]
            self.result.alarms[i] = dataclasses.replace(alarm, windows=statistics.median(took) if took else 0)

    def _hesitate(self) -> None:
        self._site.delays.pause(_THINK_S)

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + ACT_S
        while not condition():
            if time.monotonic() > end:
                raise DeadlineError(f"{what} did not come within {ACT_S:.0f} s")
            self._watch(self._site, what)
            time.sleep(_PAUSE_S)


def _name(number: int) -> str:
    return f"{versions.MODEL}-{number}"


def _code(item: Any) -> str:
    return assignment_pb2.ResultCode.Name(item.code).removeprefix("RESULT_CODE_")
