"""What a trial says of a candidate: pure judgement over what was observed, and the counts that it needs."""

from __future__ import annotations

from dataclasses import replace

from sanderling.agent.bodies import Metrics
from sanderling.agent.confidence import ConfidenceTest
from sanderling.agent.events import Observed, Window
from sanderling.agent.state import Code, Measured, Running, Settings, Update


def take_in(running: Running, seen: Observed) -> tuple[Running, tuple[float, ...], tuple[Window, ...]]:
    """Counts an observation once, however often it is delivered.

    Returns:
        The counts after it, and the confidences and windows that are new.
    """
    if seen.instance != running.instance:
        running = replace(
            running,
            instance=seen.instance,
            rows_before=running.all_rows,
            errors_before=running.all_errors,
            rows=0,
            errors=0,
            next_row=0,
        )
    elif seen.rows < running.rows:
        return running, (), ()  # an answer that was overtaken
    skip = max(0, running.next_row - seen.first_row)
    fresh = seen.confidences[skip:]
    windows = tuple(w for w in seen.windows if w.number >= running.next_window)
    counted = replace(
        running.with_confidences(fresh),
        rows=seen.rows,
        errors=seen.errors,
        latency_p50_us=seen.latency_p50_us,
        latency_p95_us=seen.latency_p95_us,
        resident_bytes=seen.resident_bytes,
        cpu_seconds=seen.cpu_seconds,
        next_row=max(running.next_row, seen.first_row + len(seen.confidences)),
        next_window=max((w.number + 1 for w in windows), default=running.next_window),
        own_reference=seen.own_reference or running.own_reference,
    )
    return counted, fresh, windows


def take_in_attached(running: Running, seen: Metrics) -> tuple[Running, tuple[float, ...]]:
    """Counts what an attached application saw.

    Returns:
        The counts after it, and the one confidence that the test may take: the mean, once. It is bounded and has H0's
        expectation; taken once for each of its rows it would count as more evidence than it is.
    """
    counted = replace(
        running,
        rows_before=running.rows_before + seen.inferences,
        errors_before=running.errors_before + seen.errors,
    )
    return counted, (seen.mean_confidence,) if seen.inferences and seen.mean_confidence > 0 else ()


def start_test(incumbent: Running | None, settings: Settings) -> ConfidenceTest | None:
    """The confidence test of a trial; None where the incumbent has too few rows to be compared with."""
    if incumbent is None or incumbent.recent_rows < settings.confidence_rows:
        return None
    return ConfidenceTest(threshold=incumbent.mean_confidence - settings.confidence_margin)


def advance(
    update: Update, incumbent: Running | None, fresh: tuple[float, ...], settings: Settings
) -> tuple[Update, tuple[Code, str] | None]:
    """Takes new rows into the trial's tests.

    Returns:
        The update after them, and why it has failed if it has.
    """
    candidate = update.candidate
    assert candidate is not None
    if update.test is not None and fresh:
        update = replace(update, test=update.test.with_rows(fresh))
    test = update.test
    if test is not None and test.evidence >= settings.confidence_evidence:
        return update, (
            Code.CONFIDENCE,
            f"mean confidence over {test.rows} rows is {test.mean:.3f}, the incumbent's was "
            f"{test.threshold + settings.confidence_margin:.3f}, at most {settings.confidence_margin} less is allowed; "
            f"evidence {test.evidence:.3g}",
        )
    limit = latency_limit_us(incumbent, settings)
    slow = bool(limit) and candidate.all_rows >= settings.latency_rows and candidate.latency_p95_us > limit
    update = replace(update, slow_looks=update.slow_looks + 1 if slow else 0)
    if update.slow_looks >= settings.slow_looks:
        return update, too_slow(candidate, incumbent, settings)
    return update, None


def latency_limit_us(incumbent: Running | None, settings: Settings) -> float:
    """Most that a candidate's p95 may be, 0 where there is nothing to compare with."""
    if incumbent is None or incumbent.latency_p95_us <= 0:
        return 0.0
    return settings.latency_ratio * incumbent.latency_p95_us + settings.latency_slack_us


def too_slow(candidate: Running, incumbent: Running | None, settings: Settings) -> tuple[Code, str] | None:
    """Why the candidate's latency fails it, None if it does not."""
    limit = latency_limit_us(incumbent, settings)
    if not limit or candidate.latency_p95_us <= limit:
        return None
    assert incumbent is not None
    return Code.LATENCY, (
        f"p95 latency is {candidate.latency_p95_us:,.0f} us, the incumbent's {incumbent.latency_p95_us:,.0f} us, "
        f"allowed are {limit:,.0f} us"
    )


def is_over(update: Update, now: float) -> bool:
    """Whether the trial has had both its rows and its time."""
    assert update.candidate is not None
    trial = update.wanted.trial
    return update.candidate.all_rows >= trial.rows and now >= update.switched_at + trial.duration_s


def measured(running: Running | None, update: Update | None = None) -> Measured:
    """What a result says of a version; with `update` of the one on trial."""
    if running is None:
        return Measured()
    test = update.test if update else None
    return Measured(
        rows=running.all_rows,
        errors=running.all_errors,
        crashes=running.crashes,
        latency_p95_us=running.latency_p95_us,
        golden_score=update.golden_score if update else 0.0,
        mean_confidence=running.mean_confidence,
        confidence_evidence=test.evidence if test else 0.0,
    )
