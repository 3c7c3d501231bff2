"""One device: warm-up, windows, faults before drift, both ways of feeding it."""

from __future__ import annotations

import numpy as np
import pytest

from sanderling import _core
from sanderling.drift import DeviceMonitor, DeviceState, DeviceVerdict, Reference, Settings, Sketches
from sanderling.errors import InputError

FEATURES = 8
SETTINGS = Settings(window_rows=100, warmup_rows=1000)


def draw(seed: int, rows: int, *, at: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((rows, FEATURES)) + at).astype(np.float32)


@pytest.fixture(scope="module")
def version() -> Reference:
    return Reference.fit(draw(0, 5000), window_rows=100)


def warmed_up(version: Reference, *, at: float = 0.0) -> DeviceMonitor:
    monitor = DeviceMonitor(version, device="one", settings=SETTINGS)
    monitor.observe(draw(1, 1000, at=at))
    assert monitor.own is not None
    return monitor


def states(verdicts: list[DeviceVerdict]) -> list[str]:
    return [str(verdict.state) for verdict in verdicts]


def test_it_learns_what_is_normal_for_it_and_then_stays_quiet(version: Reference) -> None:
    monitor = DeviceMonitor(version, device="one", settings=SETTINGS)
    assert monitor.reference is version
    verdicts = monitor.observe(draw(1, 1000, at=0.4))  # far from the version, as devices are
    assert states(verdicts) == ["warming up"] * 10
    assert {verdict.window for verdict in verdicts} == {0}
    own = monitor.own
    assert own is not None
    assert monitor.reference is own
    assert own.rows == 1000
    later = monitor.observe(draw(2, 6000, at=0.4))
    assert states(later) == ["quiet"] * 60
    assert [verdict.window for verdict in later] == list(range(1, 61))
    assert not any(verdict.alarm for verdict in later)


def test_rows_in_any_pieces_give_the_same_verdicts(version: Reference) -> None:
    rows = np.concatenate([draw(1, 1000), draw(2, 500), draw(3, 300, at=0.3)])
    whole = DeviceMonitor(version, device="one", settings=SETTINGS).observe(rows)
    monitor = DeviceMonitor(version, device="one", settings=SETTINGS)
    pieces = [verdict for piece in np.array_split(rows, 37) for verdict in monitor.observe(piece)]
    assert len(whole) == len(pieces) == 18
    for a, b in zip(whole, pieces, strict=True):
        assert (a.state, a.log_e, a.causes) == (b.state, b.log_e, b.causes)
        assert (a.ranks is None) == (b.ranks is None)
        if a.ranks is not None and b.ranks is not None:
            assert (a.ranks.cells == b.ranks.cells).all()


def test_moved_inputs_alarm_with_their_names_again_and_again(version: Reference) -> None:
    monitor = warmed_up(version)
    rows = draw(2, 1000)
    rows[:, 3] += 1.0
    verdicts = monitor.observe(rows)
    assert DeviceState.MOVED in [verdict.state for verdict in verdicts[:2]]
    first = next(verdict for verdict in verdicts if verdict.alarm)
    assert (first.causes[0].name, first.causes[0].change) == ("input[3]", "higher")
    assert first.summary.startswith("one: data moved: input[3] higher")
    assert sum(verdict.alarm for verdict in verdicts) > 3


def test_moved_outputs_alarm_too(version: Reference) -> None:
    rng = np.random.default_rng(0)

    def scores(rows: int, bias: float) -> np.ndarray:
        return (rng.standard_normal((rows, 4)) + np.array([0, 0, 0, bias])).astype(np.float32)

    version = Reference.fit(draw(0, 2000), scores(2000, 0.0))
    monitor = DeviceMonitor(version, device="one", settings=SETTINGS)
    monitor.observe(draw(1, 1000), scores(1000, 0.0))
    assert states(monitor.observe(draw(2, 1000), scores(1000, 0.0))) == ["quiet"] * 10
    moved = [verdict for verdict in monitor.observe(draw(3, 300), scores(300, 3.0)) if verdict.alarm]
    assert {cause.name for cause in moved[0].causes[:2]} == {"output classes", "output confidence"}


def test_a_fault_is_named_before_drift_and_feeds_no_detector(version: Reference) -> None:
    monitor = warmed_up(version)
    monitor.observe(draw(2, 300))
    stuck = np.repeat(draw(3, 1), 300, axis=0)
    verdicts = monitor.observe(stuck)
    assert states(verdicts) == ["sensor fault"] * 3
    assert all(verdict.alarm and verdict.log_e is None and verdict.ranks is None for verdict in verdicts)
    assert "stuck sensor" in verdicts[0].summary
    after = monitor.observe(draw(4, 1000))
    assert states(after) == ["settling"] + ["quiet"] * 9
    assert [verdict.window for verdict in verdicts + after] == list(range(4, 17))


def test_a_broken_sensor_cannot_become_normal(version: Reference) -> None:
    monitor = DeviceMonitor(version, device="one", settings=SETTINGS)
    good = draw(1, 2000)
    stuck = np.repeat(good[350:351], 250, axis=0)  # windows 3 (half), 4, 5 (all but the last half)
    verdicts = monitor.observe(np.concatenate([good[:350], stuck, good[350:]]))
    assert states(verdicts)[:6] == ["warming up"] * 4 + ["sensor fault"] * 2
    # Windows 0-2 count, 3 was half stuck, 6 comes right after the fault: 7 more make the 1,000 rows.
    assert monitor.own is not None
    assert states(verdicts)[6:14] == ["warming up"] * 8
    assert verdicts[14].window == 1
    assert monitor.own.rows == 1000
    assert (monitor.own.inputs[0].still < 0.01).all()


def test_a_session_s_sketches_give_the_same_verdicts_as_the_rows(version: Reference) -> None:
    rows = np.concatenate([draw(1, 1000), draw(2, 500), draw(3, 300, at=0.5)])
    expected = DeviceMonitor(version, device="one", settings=SETTINGS).observe(rows)
    monitor = DeviceMonitor(version, device="one", settings=SETTINGS)
    watch = _core.Watch(monitor.watch_spec())
    verdicts: list[DeviceVerdict] = []
    for begin in range(0, 1800, 100):
        reference = monitor.reference
        for part in (slice(begin, begin + 60), slice(begin + 60, begin + 100)):
            watch.observe_input(0, rows[part])
        verdict = monitor.add(Sketches(watch.take()))
        assert verdict is not None
        verdicts.append(verdict)
        if monitor.reference is not reference:
            watch.restart(monitor.watch_spec())
    assert [(v.state, v.window, v.log_e) for v in verdicts] == [(v.state, v.window, v.log_e) for v in expected]


def test_sketches_are_put_together_until_a_window_is_full(version: Reference) -> None:
    monitor = warmed_up(version)
    watch = _core.Watch(monitor.watch_spec())
    verdicts = []
    for i in range(10):
        watch.observe_input(0, draw(i, 35))
        verdicts.append(monitor.add(Sketches(watch.take())))
    assert [verdict.rows if verdict else None for verdict in verdicts] == 3 * [None, None, 105] + [None]


def test_sketches_of_another_reference_are_refused(version: Reference) -> None:
    monitor = warmed_up(version)
    watch = _core.Watch(version.watch_spec())
    watch.observe_input(0, draw(0, 100))
    with pytest.raises(InputError, match=r"Watch with monitor\.reference"):
        monitor.add(Sketches(watch.take()))


def test_an_own_reference_learned_before_needs_no_warm_up(version: Reference) -> None:
    learned = warmed_up(version)
    assert learned.own is not None
    own = Reference.from_bytes(learned.own.to_bytes())
    again = DeviceMonitor(version, device="one", settings=SETTINGS, own=own)
    rows = draw(5, 500)
    assert [v.log_e for v in again.observe(rows)] == [v.log_e for v in learned.observe(rows)]


def test_single_constants_and_left_constants_are_listed(version: Reference) -> None:
    monitor = DeviceMonitor(version, device="one", settings=SETTINGS)
    warmup = draw(1, 1000)
    warmup[:, 0] = 2
    monitor.observe(warmup)
    rows = draw(2, 100)
    rows[:, 1] = 0.5
    rows[:50, 0] = 2
    (verdict,) = monitor.observe(rows)
    assert verdict.faults == ()
    assert verdict.constants == ("input[1]",)
    assert verdict.left_constant == ("input[0]",)


def test_the_alarm_level_grows_with_the_fleet(version: Reference) -> None:
    monitors = [
        DeviceMonitor(version, device="one", settings=Settings(window_rows=100, warmup_rows=1000, devices=devices))
        for devices in (1, 10**6)
    ]
    rows = np.concatenate([draw(1, 1000), draw(2, 2000, at=0.35)])
    first = [next(v.window for v in monitor.observe(rows) if v.alarm) for monitor in monitors]
    assert first[0] < first[1]


@pytest.mark.parametrize(
    ("inputs", "outputs"), [(np.zeros((5, FEATURES)), np.zeros((4, 3))), ([np.zeros((5, 8))] * 2, None), ({}, None)]
)
def test_rows_that_do_not_fit(version: Reference, inputs: object, outputs: object) -> None:
    with pytest.raises(InputError):
        DeviceMonitor(version, device="one").observe(inputs, outputs)
    with pytest.raises(InputError):
        DeviceMonitor(version, device="one").observe(np.zeros((5, FEATURES + 1)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"window_rows": 0},
        {"warmup_rows": 100},
        {"devices": 0},
        {"average_run_length": 1.0},
        {"average_run_length": float("nan")},
        {"tolerance": -0.1},
    ],
)
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="settings"):
        Settings(**wrong)  # type: ignore[arg-type]


def test_large_inputs_are_watched_by_projections() -> None:
    rng = np.random.default_rng(0)

    def images(rows: int, *, brighter: float = 0.0, turned: bool = False) -> np.ndarray:
        scene = np.linspace(0, 1, 5000)[:: -1 if turned else 1]  # turning it leaves the values as they are
        light = 1 + 0.2 * rng.standard_normal((rows, 1)) + brighter
        return (scene * light + 0.3 * rng.standard_normal((rows, 5000))).astype(np.float32)

    version = Reference.fit(images(400), window_rows=20)
    settings = Settings(window_rows=20, warmup_rows=400)
    for change in ({"brighter": 1.0}, {"turned": True}):
        monitor = DeviceMonitor(version, device="one", settings=settings)
        monitor.observe(images(400))
        assert states(monitor.observe(images(600))) == ["quiet"] * 30
        assert any(verdict.alarm for verdict in monitor.observe(images(160, **change))), change


def test_a_monitor_goes_on_where_another_stopped(version: Reference) -> None:
    """Also the random split into rank cells, which the window's number seeds."""
    first = warmed_up(version)
    first.observe(draw(2, 400))
    rows = np.round(draw(3, 100))  # atoms, which are split
    resumed = DeviceMonitor(version, device="one", settings=SETTINGS, own=first.own, first_window=5)
    (there,), (here,) = first.observe(rows), resumed.observe(rows)
    assert there.window == here.window == 5
    assert there.ranks is not None
    assert here.ranks is not None
    np.testing.assert_array_equal(there.ranks.cells, here.ranks.cells)
