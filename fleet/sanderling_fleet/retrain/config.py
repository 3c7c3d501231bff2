"""retrain.toml in the server's folder: which models can be retrained, by what code, and what a challenger must show.

    [digits]
    entry_point = "my_package.train:train"
    calibration = "digits/calibration.npz"   # "in:NAME" [rows, ...]: rows that calibrate the quantizer
    holdout = "digits/holdout.npz"           # the same, "label" [rows] and, if wanted, "slice" [rows]
    [digits.plan]
    least_labels = 100
    [digits.gate]
    holdout_margin = 0.02
    [digits.limits]
    cpu_seconds = 3600

Paths are relative to the file. The holdout is frozen: nothing trains on it, and it does not change between jobs.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sanderling.errors import InputError
from sanderling_fleet.config import from_table
from sanderling_fleet.retrain.confine import Limits
from sanderling_fleet.retrain.gate import GateSettings
from sanderling_fleet.retrain.job import Plan
from sanderling_fleet.trigger import TriggerPolicy


@dataclass(frozen=True)
class TriggerSettings:
    """When a job is opened by itself; how long its parts may take is the plan's.

    Attributes:
        cooldown_seconds: From the end of one job to the next.
        max_jobs: In `period_seconds`; 0 for never by itself.
        period_seconds: See `max_jobs`.
    """

    cooldown_seconds: float = 7 * 86400.0
    max_jobs: int = 4
    period_seconds: float = 30 * 86400.0


_TABLES: dict[str, type[Any]] = {"plan": Plan, "gate": GateSettings, "limits": Limits, "trigger": TriggerSettings}


@dataclass(frozen=True)
class _Paths:
    entry_point: str = ""
    calibration: str = ""
    holdout: str = ""
    code: str = ""
    data: str = ""


@dataclass(frozen=True)
class ModelConfig:
    """How one model is retrained.

    Attributes:
        entry_point: "module:function".
        calibration: Rows that calibrate the quantizer, together with the samples.
        holdout: Labelled rows that nothing trains on.
        code: Folder that is searched for the entry point beside what is installed, or None.
        data: Folder or file that the trainer may read, such as the original training rows, or None.
        plan: How much a job may take.
        gate: What a challenger must show.
        limits: What one process may use.
        trigger: When a job is opened by itself.
    """

    entry_point: str
    calibration: Path
    holdout: Path
    code: Path | None = None
    data: Path | None = None
    plan: Plan = field(default_factory=Plan)
    gate: GateSettings = field(default_factory=GateSettings)
    limits: Limits = field(default_factory=Limits)
    trigger: TriggerSettings = field(default_factory=TriggerSettings)

    def trigger_policy(self) -> TriggerPolicy:
        """What must hold before a job is opened by itself."""
        plan = self.plan
        return TriggerPolicy(
            cooldown_seconds=self.trigger.cooldown_seconds,
            minimum_samples=plan.least_labels,
            max_jobs=self.trigger.max_jobs,
            period_seconds=self.trigger.period_seconds,
            # The job has these deadlines itself; the trigger's are a second line behind them.
            collect_seconds=1.1 * plan.collect_seconds + 60,
            job_seconds=1.1 * (plan.label_seconds + plan.train_seconds + plan.gate_seconds + plan.draft_seconds) + 60,
        )


def load_models(path: Path) -> dict[str, ModelConfig]:
    """Reads retrain.toml; nothing can be retrained where there is none.

    Raises:
        InputError: It cannot be read, has a key or value that is not allowed, or names a file that is not there.
    """
    try:
        tables = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"[config] {path} cannot be read: {error}") from error
    return {name: _model(name, table, path) for name, table in tables.items()}


def _model(name: str, table: Any, path: Path) -> ModelConfig:
    where = f"{path} [{name}]"
    if not isinstance(table, dict):
        raise InputError(f"[config] {where} is {table!r}, expected a table named like a model")
    parts = {key: from_table(kind, table.get(key, {}), f"{where[:-1]}.{key}]") for key, kind in _TABLES.items()}
    paths = from_table(_Paths, {key: value for key, value in table.items() if key not in _TABLES}, where)
    if ":" not in paths.entry_point:
        raise InputError(f"[config] {where}: entry_point is {paths.entry_point!r}, expected module:function")
    found = {key: path.parent / getattr(paths, key) for key in ("calibration", "holdout", "code", "data")}
    for key, place in found.items():
        given = getattr(paths, key)
        if (given or key in ("calibration", "holdout")) and not (given and place.exists()):
            raise InputError(f"[config] {where}: {key} is {given!r}, and there is no {place}")
    return ModelConfig(
        entry_point=paths.entry_point,
        calibration=found["calibration"],
        holdout=found["holdout"],
        code=found["code"] if paths.code else None,
        data=found["data"] if paths.data else None,
        **parts,
    )
