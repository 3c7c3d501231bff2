"""How far each feature is from its reference, for people and programs to read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from sanderling.drift._detector import log_mean_exp
from sanderling.drift._device import detector_groups, window_counts
from sanderling.drift._faults import SensorFault, check_sensors
from sanderling.drift._normal import InputReference
from sanderling.drift._ranks import Counts
from sanderling.drift._reference import Reference
from sanderling.drift._sketches import InputSketch, Sketches
from sanderling.drift._tilts import Tilts, fold_classes
from sanderling.errors import InputError


@dataclass(frozen=True)
class ReportRow:
    """One feature, or the classes or confidence of one output.

    Attributes:
        name: Of the feature or output.
        kind: "feature", "constant" (in the reference), "values" (all of a large input), "classes" or "confidence".
        psi: Population stability index over the bins, half a row added to each.
        js: Jensen-Shannon distance, 0 to 1 (square root of the divergence to base 2).
        ks: Largest difference of the cumulative shares over the bins; None for classes, which have no order.
        missing: Share of NaN.
        log_e: Natural logarithm of the e-value of these rows taken as one window: 4.6 is evidence of 100 to 1.
        change: What the evidence points to, such as "higher"; empty where log_e is not above 0.
    """

    name: str
    kind: str
    psi: float
    js: float
    ks: float | None
    missing: float
    log_e: float
    change: str


@dataclass(frozen=True)
class Report:
    """A comparison of sketches with their reference.

    Attributes:
        rows: Rows seen.
        reference_rows: Rows of the reference.
        log_e: Natural logarithm of the e-value of all together.
        lines: The largest e-value first.
        faults: Sensor faults; only where the sketches hold what the checks need (not over the wire).
        saturation: Share of codes at the ends of the type, by interior tensor.
    """

    rows: int
    reference_rows: int
    log_e: float
    lines: tuple[ReportRow, ...]
    faults: tuple[SensorFault, ...]
    saturation: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers, ready for JSON (no infinity)."""
        result = asdict(self)
        for entry in (result, *result["lines"]):
            if not np.isfinite(entry["log_e"]):
                entry["log_e"] = None
        return result

    def table(self, most: int = 20) -> str:
        """Fixed-width text: a heading, the `most` features with the largest e-values, then faults."""
        lines = [f"{'feature':<28} {'psi':>8} {'js':>7} {'ks':>7} {'missing':>8} {'log e':>8}  change"]
        for line in self.lines[:most]:
            ks = "-" if line.ks is None else f"{line.ks:.3f}"
            lines.append(
                f"{line.name:<28} {line.psi:>8.3f} {line.js:>7.3f} {ks:>7} {line.missing:>8.1%} {line.log_e:>8.1f}"
                f"  {line.change}".rstrip()
            )
        if len(self.lines) > most:
            lines.append(f"and {len(self.lines) - most} more")
        lines += [f"{fault.kind} sensor, {fault.input}: {fault.detail}" for fault in self.faults]
        return "\n".join(lines)


def report(reference: Reference, sketches: Sketches, *, tolerance: float = 0.02) -> Report:
    """Compares what was seen with the reference by which it was counted.

    Args:
        reference: The one that the sketches name.
        sketches: From a session or monitor, or merged.
        tolerance: As in `Settings`.

    Raises:
        InputError: The sketches were counted by another reference or do not have its inputs.
    """
    if sketches.reference_id != reference.id or len(sketches.inputs) != len(reference.inputs):
        raise InputError(
            f"[report] sketches of reference {(sketches.reference_id or b'').hex() or 'none'}, given is "
            f"{reference.id.hex()}. Give the reference that the session watched by"
        )
    lines: list[ReportRow] = []
    group_log_e: list[float] = []
    for part in _parts(reference, sketches):
        evidence = replace(part.tilts, tolerance=tolerance).evidence(part.counts)
        log_e = log_mean_exp(evidence)
        group_log_e.append(float(log_mean_exp(log_e)))
        for i, name in enumerate(part.tilts.names):
            change = part.tilts.words[int(evidence[i].argmax())] if log_e[i] > 0 else ""
            psi, js, ks = distances(part.expected[i], part.counts[i])
            ordered = None if part.kinds[i] == "classes" else ks
            lines.append(ReportRow(name, part.kinds[i], psi, js, ordered, part.missing[i], float(log_e[i]), change))
    for item, sketch in zip(reference.inputs, sketches.inputs, strict=True):
        if sketch is not None:
            lines += _constants(item, sketch)
    return Report(
        sketches.rows,
        reference.rows,
        float(log_mean_exp(np.array(group_log_e))),
        tuple(sorted(lines, key=lambda line: (-line.log_e, -line.psi))),
        check_sensors(reference, sketches).faults,
        {name: histogram.saturation_share() for name, histogram in sketches.codes.items()},
    )


def distances(expected: Counts, seen: Counts) -> tuple[float, float, float]:
    """Population stability index, Jensen-Shannon distance and largest difference of the cumulative shares.

    Args:
        expected: int64 [bins], the reference's.
        seen: int64 [bins].

    Returns:
        The three; zeros when nothing was seen. Half a row is added to each bin for the index alone, which is infinite
        for an empty bin otherwise.
    """
    used = (expected > 0) | (seen > 0)
    e, s = expected[used].astype(np.float64), seen[used].astype(np.float64)
    if e.sum() == 0 or s.sum() == 0:
        return 0.0, 0.0, 0.0
    smooth_e, smooth_s = (e + 0.5) / (e + 0.5).sum(), (s + 0.5) / (s + 0.5).sum()
    psi = float(((smooth_s - smooth_e) * np.log(smooth_s / smooth_e)).sum())
    p, q = e / e.sum(), s / s.sum()
    middle = (p + q) / 2
    divergence = sum(float((x[x > 0] * np.log2(x[x > 0] / middle[x > 0])).sum()) / 2 for x in (p, q))
    return psi, float(np.sqrt(max(divergence, 0.0))), float(np.abs(np.cumsum(p - q)).max())


@dataclass(frozen=True, eq=False)
class _Part:
    tilts: Tilts
    expected: Counts
    counts: Counts
    kinds: list[str]
    missing: list[float]


def _parts(reference: Reference, sketches: Sketches) -> list[_Part]:
    groups, seen = detector_groups(reference, 0.0), window_counts(reference, sketches)
    expected: list[Counts] = []
    kinds: list[list[str]] = []
    missing: list[list[float]] = []
    for item, sketch in zip(reference.inputs, sketches.inputs, strict=True):
        share = np.zeros(len(item.counts)) if sketch is None else sketch.bins.missing / max(sketch.bins.rows, 1)
        extra = ["values"] if item.projected else []
        expected.append(item.stream_counts(item.counts, item.value_counts))
        kinds.append(["feature"] * item.judged.size + extra)
        lost = [] if sketch is None or sketch.values is None else [sketch.values.missing / max(sketch.values.total, 1)]
        missing.append([float(s) for s in share[item.judged]] + (lost or [0.0] * len(extra)))
    for i, output in enumerate(reference.outputs):
        if output is not None:
            answers = sketches.outputs[i] if i < len(sketches.outputs) else None
            lost_rows = 0.0 if answers is None else answers.classes.missing / max(answers.classes.total, 1)
            expected += [fold_classes(output.classes, output.classes)[None], output.confidence[None]]
            kinds += [["classes"], ["confidence"]]
            missing += [[lost_rows], [lost_rows]]
    return [_Part(*part) for part in zip(groups, expected, seen, kinds, missing, strict=True)]


def _constants(item: InputReference, sketch: InputSketch) -> list[ReportRow]:
    rows = max(sketch.bins.rows, 1)
    counts, missing = sketch.bins.counts.astype(np.int64), sketch.bins.missing
    lines = []
    for i in np.setdiff1d(np.arange(len(item.counts)), item.judged):
        psi, js, ks = distances(item.counts[i], counts[i])
        change = "left constant" if ks > 0 else ""
        name = item.stream_names[i]
        lines.append(ReportRow(name, "constant", psi, js, ks, float(missing[i] / rows), float("-inf"), change))
    return lines
