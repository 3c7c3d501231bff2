"""What telemetry rows say, in the rules' own words; drift windows stay as serialized as the runner sent them."""

from __future__ import annotations

from dataclasses import dataclass

from sanderling.agent.state import Code, Outcome


@dataclass(frozen=True)
class Metrics:
    """Telemetry: counted since the last one."""

    inferences: int
    errors: int
    latency_p50_us: float
    latency_p95_us: float
    mean_confidence: float
    runner_restarts: int
    resident_bytes: int
    cpu_seconds: float


@dataclass(frozen=True)
class Notice:
    """Telemetry: something happened. `severity` is "info", "warning" or "error"."""

    kind: str
    severity: str
    message: str
    code: Code | Outcome | None = None
