"""The e-detector: equal to the simple one, quiet at its stated rate, quick on known changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.drift.simple import SimpleDetector

from sanderling.drift import EDetector, Reference, nominal_tilts, ordered_tilts
from sanderling.drift._tilts import TILTS, DesignEffect, fold_classes
from sanderling.errors import InputError

WINDOW = 200


def normal_rows(seed: int, windows: int, features: int, *, ar: float = 0.0) -> np.ndarray:
    """float64 [windows, 200, features], each standard normal, correlated 0.5 with each other; AR(1) in time."""
    rng = np.random.default_rng(seed)
    n = windows * WINDOW
    noise = rng.standard_normal((n + 200, features + 1)) * np.sqrt(1 - ar * ar)
    if ar:
        for i in range(1, len(noise)):
            noise[i] += ar * noise[i - 1]
    z = noise[200:]
    return (np.sqrt(0.5) * z[:, :1] + np.sqrt(0.5) * z[:, 1:]).reshape(windows, WINDOW, features)


def uniform_counts(rows: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """int64 [windows, features, 32] by each feature's reference quantiles."""
    edges = np.quantile(reference, np.arange(1, 32) / 32, axis=0, method="inverted_cdf")
    out = np.zeros((len(rows), rows.shape[2], 32), np.int64)
    for f in range(rows.shape[2]):
        place = np.searchsorted(edges[:, f], rows[:, :, f])
        for w in range(len(rows)):
            out[w, f] = np.bincount(place[w], minlength=32)
    return out


def detector_for(reference: np.ndarray, *, tolerance: float = 0.02, arl: float = 1000) -> EDetector:
    """`reference` float64 [windows, 200, features] in time order."""
    flat = reference.reshape(-1, reference.shape[2])
    windows = uniform_counts(reference, flat)
    counts = windows.sum(axis=0)
    names = [f"f{i}" for i in range(counts.shape[0])]
    plain = ordered_tilts(names, counts)
    effect = DesignEffect(plain, counts)
    for window in windows:
        effect.add(window)
    tilts = ordered_tilts(names, counts, design_effects=effect.estimate())
    assert tilts.tolerance == tolerance
    return EDetector([tilts], average_run_length=arl)


def alarms(detector: EDetector, counts: np.ndarray) -> np.ndarray:
    return np.array([detector.update([window]).alarm for window in counts])


@given(seed=st.integers(0, 200), shift=st.sampled_from([0.0, 0.2, 1.0]))
def test_equal_to_the_formulas(seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(40, 4000))
    bins = int(rng.integers(2, 32))
    reference = np.stack([1 + rng.multinomial(rows, rng.dirichlet(np.ones(bins))) for _ in range(3)])
    simple = SimpleDetector(reference, 0.02, 50)
    detector = EDetector([ordered_tilts(["a", "b", "c"], reference)], average_run_length=50)
    p = reference / reference.sum(axis=1, keepdims=True) * np.exp(shift * np.linspace(-1, 1, bins))
    for _ in range(12):
        counts = np.stack([rng.multinomial(60, own / own.sum()) for own in p])
        expected, alarm = simple.update(counts)
        evidence = detector.update([counts])
        assert evidence.alarm == alarm
        assert evidence.log_e == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(seed=st.integers(0, 500), bins=st.integers(2, 32))
def test_an_alternative_is_a_distribution(seed: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    reference = rng.multinomial(500, rng.dirichlet(np.ones(bins)))[None]
    for tilts in (ordered_tilts(["a"], reference), nominal_tilts("a", reference[0])):
        likelihood_ratio = np.exp(tilts.weights[0])
        assert (likelihood_ratio > 0).all()
        np.testing.assert_allclose(reference[0] @ likelihood_ratio / 500, 1, rtol=1e-12)


@given(seed=st.integers(0, 500))
def test_the_mean_of_exp_evidence_is_at_most_one_within_the_tolerance(seed: int) -> None:
    """Exactly, for one row: sum over bins of q(b) exp(evidence of b) for any q with |mean of h| <= delta."""
    rng = np.random.default_rng(seed)
    reference = 1 + rng.multinomial(2000, rng.dirichlet(np.ones(16)))[None]
    tilts = ordered_tilts(["a"], reference)
    h = np.expm1(tilts.weights[0]) / tilts.thetas
    p = reference[0] / reference.sum()
    direction = rng.standard_normal(16)
    direction -= direction.mean()
    size = np.abs(direction @ h).max()
    q = p + direction * min(tilts.deltas.min() / size, 0.99 / np.max(-direction / p))
    assert (np.abs(q @ h) <= tilts.deltas[0] + 1e-12).all()
    single = np.stack([tilts.evidence(row[None, None].astype(np.int64)[0])[0] for row in np.eye(16)])
    assert (q @ np.exp(single) <= 1 + 1e-9).all()


def test_deltas_cover_the_reference_error() -> None:
    counts = np.full((1, 32), 2000 // 32, np.int64)
    rows = counts.sum()
    assert ordered_tilts(["a"], counts).deltas == pytest.approx(3 / np.sqrt(rows))
    assert ordered_tilts(["a"], counts * 1000).deltas == pytest.approx(0.02)
    strained = ordered_tilts(["a"], counts, design_effects=np.full((1, TILTS), 25.0))
    assert strained.deltas[0, 0] == pytest.approx(15 * np.sqrt(strained.variances[0, 0] / rows))


def test_alarms_are_at_most_as_frequent_as_stated_on_independent_rows() -> None:
    """1,500 windows of 20 correlated features at A = 1,000: 1.5 alarms are allowed on average, delta leaves none."""
    total = 0
    for seed in range(3):
        reference = normal_rows(seed, 100, 20)
        detector = detector_for(reference)
        fresh = uniform_counts(normal_rows(100 + seed, 500, 20), reference.reshape(-1, 20))
        total += int(alarms(detector, fresh).sum())
    assert total <= 2


def test_a_short_reference_does_not_alarm_either() -> None:
    """A device's own reference of 2,000 rows against 600 windows: the reference's error is what delta is for."""
    total = 0
    for seed in range(3):
        reference = normal_rows(seed, 10, 20)
        detector = detector_for(reference)
        fresh = uniform_counts(normal_rows(200 + seed, 200, 20), reference.reshape(-1, 20))
        total += int(alarms(detector, fresh).sum())
    assert total <= 1


def test_alarms_are_at_most_as_frequent_as_stated_on_autocorrelated_rows() -> None:
    """AR(1) 0.9 with 20,000 reference rows: without the design effect nearly every window would alarm."""
    reference = normal_rows(0, 100, 10, ar=0.9)
    fresh = uniform_counts(normal_rows(300, 500, 10, ar=0.9), reference.reshape(-1, 10))
    detector = detector_for(reference)
    assert alarms(detector, fresh).sum() <= 2
    independent = ordered_tilts(["f"] * 10, uniform_counts(reference, reference.reshape(-1, 10)).sum(axis=0))
    assert alarms(EDetector([independent]), fresh).sum() > 100


@pytest.mark.parametrize(
    ("change", "most"),
    [
        (lambda x: x + 0.25, 5),  # drift.md 3.5 measured 2.8 windows with 50 features
        (lambda x: x + 0.5, 1),
        (lambda x: x * 1.25, 5),
        (lambda x: x * 0.6, 2),
    ],
)
def test_known_changes_are_found_soon(change, most: int) -> None:
    for seed in range(3):
        reference = normal_rows(seed, 100, 20)
        rows = normal_rows(500 + seed, 20, 20)
        rows[10:, :, :2] = change(rows[10:, :, :2])
        found = np.flatnonzero(alarms(detector_for(reference), uniform_counts(rows, reference.reshape(-1, 20))))
        assert 10 <= found[0] < 10 + most


def test_causes_name_what_changed_and_how() -> None:
    reference = normal_rows(0, 100, 8)
    rows = normal_rows(1, 3, 8)
    rows[:, :, 5] += 1
    rows[:, :, 2] *= 3
    evidence = detector_for(reference, arl=1e6).update([uniform_counts(rows, reference.reshape(-1, 8))[0]])
    assert {(cause.name, cause.change) for cause in evidence.causes[:2]} == {("f5", "higher"), ("f2", "wider")}


def test_it_starts_anew_after_an_alarm() -> None:
    reference = np.full((1, 32), 1000, np.int64)
    detector = EDetector([ordered_tilts(["a"], reference)])
    moved = np.zeros((1, 32), np.int64)
    moved[0, 31] = 200
    assert detector.update([moved]).alarm
    quiet = detector.update([np.full((1, 32), 6, np.int64)])
    assert not quiet.alarm
    assert quiet.log_e < 0


def test_a_window_without_rows_is_no_evidence() -> None:
    detector = EDetector([ordered_tilts(["a"], np.full((1, 32), 1000, np.int64))], average_run_length=10)
    first = detector.update([np.full((1, 32), 6, np.int64)])
    for _ in range(50):
        assert detector.update([np.zeros((1, 32), np.int64)]).log_e == first.log_e


def test_classes_that_become_more_frequent() -> None:
    reference = np.array([500, 300, 200, 0], np.int64)
    detector = EDetector([nominal_tilts("kind", reference)])
    assert not any(detector.update([np.array([[100, 60, 40, 0]])]).alarm for _ in range(50))
    evidence = detector.update([np.array([[60, 30, 10, 100]])])
    assert evidence.alarm
    assert evidence.causes[0].change == "class 3 more often"


def test_rare_classes_are_folded_together() -> None:
    reference = np.arange(100, dtype=np.int64)
    folded = fold_classes(reference, reference)
    assert folded.size == 32
    assert folded[:31].tolist() == list(range(99, 68, -1))
    assert folded.sum() == reference.sum()
    assert nominal_tilts("kind", reference).words[-1] == "other classes less often"


def test_design_effects_of_independent_and_bursty_windows() -> None:
    reference = np.full((1, 32), 1000, np.int64)
    rng = np.random.default_rng(0)
    plain = ordered_tilts(["a"], reference)
    independent, bursty = DesignEffect(plain, reference), DesignEffect(plain, reference)
    for _ in range(200):
        independent.add(rng.multinomial(200, np.full(32, 1 / 32))[None])
        bursty.add(8 * rng.multinomial(25, np.full(32, 1 / 32))[None])  # every row eight times
    assert (independent.estimate() >= 1).all()
    assert independent.estimate().mean() < 1.1
    assert bursty.estimate().mean() == pytest.approx(8, rel=0.15)
    assert (DesignEffect(plain, reference).estimate() == 1).all()


def test_settings_and_shapes_that_do_not_fit() -> None:
    tilts = ordered_tilts(["a"], np.full((1, 32), 10, np.int64))
    for groups, arl in (([], 100.0), ([tilts], 1.0), ([tilts], float("nan"))):
        with pytest.raises(InputError, match="average run length"):
            EDetector(groups, average_run_length=arl)
    with pytest.raises(InputError, match="shapes"):
        EDetector([tilts]).update([np.zeros((2, 32), np.int64)])
    with pytest.raises(InputError, match="a state of shapes"):
        EDetector([tilts], state=[np.zeros((2, TILTS))])


def test_a_detector_goes_on_from_its_state() -> None:
    """Made anew before each window, with an alarm in between: the same evidence to the last bit."""
    rng = np.random.default_rng(3)
    tilts = ordered_tilts(["a", "b"], np.full((2, 32), 100, np.int64))
    whole = EDetector([tilts], average_run_length=20)
    state, seen = None, []
    weights = np.exp(np.linspace(-0.3, 0.3, 32))
    for _ in range(12):
        counts = rng.multinomial(200, weights / weights.sum(), size=2)
        parts = EDetector([tilts], average_run_length=20, state=state)
        evidence = parts.update([counts])
        assert evidence == whole.update([counts])
        state = parts.state
        seen.append(evidence.alarm)
    assert True in seen
    assert False in seen


def test_a_reference_gives_the_detector_its_design_effects() -> None:
    rows = np.repeat(np.random.default_rng(0).standard_normal((500, 3)), 8, axis=0)  # every row eight times
    item = Reference.fit(rows.astype(np.float32)).inputs[0]
    assert item.effects.mean() == pytest.approx(8, rel=0.35)
