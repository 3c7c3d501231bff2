"""The e-detector: evidence that a stream has left its reference, with a stated average run length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sanderling.drift._ranks import Counts, Floats
from sanderling.drift._tilts import Tilts
from sanderling.errors import InputError


@dataclass(frozen=True)
class Cause:
    """A stream that the evidence points to. It lists, it does not decide.

    Attributes:
        name: The feature or output.
        change: What happened to its values, such as "higher" or "class 3 more often".
        log_e: Natural logarithm of its e-value.
    """

    name: str
    change: str
    log_e: float


@dataclass(frozen=True)
class Evidence:
    """What the detector knows after a window.

    Attributes:
        log_e: Natural logarithm of the e-value.
        alarm: Whether it has reached the alarm level; then the detector has started anew.
        causes: The streams with the largest e-values, the largest first.
    """

    log_e: float
    alarm: bool
    causes: tuple[Cause, ...]


def log_mean_exp(values: Floats) -> Floats:
    """log(mean(exp(values))) over the last axis without overflow; -inf for no values."""
    if values.shape[-1] == 0:
        return np.full(values.shape[:-1], -np.inf)
    peak = values.max(axis=-1, keepdims=True)
    shift = np.where(np.isfinite(peak), peak, 0.0)
    with np.errstate(divide="ignore"):  # log(0) is the right answer where nothing has been seen
        result: Floats = np.log(np.exp(values - shift).mean(axis=-1)) + shift[..., 0]
    return result


class EDetector:
    """Watches windows of counts and raises an alarm on average at most once in A windows when nothing has changed.

    Each stream and alternative accumulates by Shiryaev and Roberts, S <- (S + 1) exp(evidence); the e-value is the
    mean of S over the alternatives, then over the streams of a group, then over the groups, and the alarm level is
    A. A mean of e-values is one whatever the dependence between them, so correlated features need no correction.
    Source: Shin, Ramdas, Rinaldo 2022 (arXiv 2203.03532), ARL at least A.

    Args:
        groups: Alternatives by group (inputs, outputs); each weighs the same.
        average_run_length: A, in windows, above 1.
        state: What `state` of an earlier detector was, to go on from it; its alternatives may have been others, of the
            same number, where the reference changes with the devices that report.

    Raises:
        InputError: A setting is out of range, or the state does not fit the groups.
    """

    def __init__(
        self, groups: Sequence[Tilts], *, average_run_length: float = 1000.0, state: Sequence[Floats] | None = None
    ) -> None:
        if not groups or not average_run_length > 1:
            raise InputError(
                f"[e_detector] {len(groups)} groups and an average run length of {average_run_length}. Give at "
                "least one group and more than 1 window"
            )
        self._groups = tuple(groups)
        self._level = float(np.log(average_run_length))
        self._state: list[Floats] = self._nothing() if state is None else [np.array(item) for item in state]
        shapes, wanted = [item.shape for item in self._state], [tilts.design_effects.shape for tilts in groups]
        if shapes != wanted:
            raise InputError(f"[e_detector] a state of shapes {shapes}, the alternatives are of {wanted}")

    @property
    def state(self) -> list[Floats]:
        """Per group float64 [streams, alternatives]: logarithms of what has accumulated; copies."""
        return [item.copy() for item in self._state]

    def reset(self) -> None:
        """Forgets all evidence."""
        self._state = self._nothing()

    def _nothing(self) -> list[Floats]:
        return [np.full(tilts.design_effects.shape, -np.inf) for tilts in self._groups]

    def update(self, counts: Sequence[Counts]) -> Evidence:
        """Takes the next window into account.

        Args:
            counts: Per group int64 [streams, bins]. A stream with no count in this window stays as it was.

        Raises:
            InputError: The number of groups or the shape of one does not fit.
        """
        if len(counts) != len(self._state) or any(
            c.shape != t.weights.shape[:2] for c, t in zip(counts, self._groups, strict=False)
        ):
            raise InputError(
                f"[e_detector] counts of shapes {[c.shape for c in counts]}, expected "
                f"{[t.weights.shape[:2] for t in self._groups]}"
            )
        per_stream = []
        for state, tilts, seen in zip(self._state, self._groups, counts, strict=True):
            _accumulate(state, tilts.evidence(seen), seen.sum(axis=1) > 0)
            per_stream.append(log_mean_exp(state))
        log_e = float(log_mean_exp(np.array([log_mean_exp(streams) for streams in per_stream])))
        evidence = Evidence(log_e, log_e >= self._level, self._causes(per_stream))
        if evidence.alarm:
            self.reset()
        return evidence

    def _causes(self, per_stream: Sequence[Floats], most: int = 10) -> tuple[Cause, ...]:
        causes = []
        for state, tilts, log_e in zip(self._state, self._groups, per_stream, strict=True):
            for stream in np.argsort(-log_e, kind="stable")[:most]:
                if log_e[stream] > 0:
                    word = tilts.words[int(np.argmax(state[stream]))]
                    causes.append(Cause(tilts.names[stream], word, float(log_e[stream])))
        return tuple(sorted(causes, key=lambda cause: -cause.log_e)[:most])


def _accumulate(state: Floats, evidence: Floats, seen: npt.NDArray[np.bool_]) -> None:
    state[seen] = np.logaddexp(state[seen], 0.0) + evidence[seen]
