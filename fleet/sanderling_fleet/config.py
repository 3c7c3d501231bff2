"""The server's settings: server/fleet.toml, made by `sanderling fleet init` and edited by hand."""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sanderling.errors import InputError

T = TypeVar("T")
_LEAST = {
    # A fleet that checks in more often than this, or a server that looks more often, does nothing else.
    "check_in_seconds": 0.1,
    "rollout_tick_seconds": 0.01,
    "window_rows": 1,
    "warmup_rows": 1,
    "telemetry_days": 1,
}


@dataclass(frozen=True)
class ServerConfig:
    """How a fleet server listens.

    Attributes:
        host: Name or address that devices and operators dial.
        bind: Address that the listeners bind to.
        enrolment_port: 0 for a free one, as for the others.
        device_port: Mutual TLS.
        operator_port: TLS and bearer token.
        check_in_seconds: Mean time between two check-ins of a device.
        rollout_tick_seconds: How often deadlines and soaks of rollouts are looked at.
        probation_rows: Rows for which a device tries a version before it commits...
        probation_seconds: ...and the time, whichever is later.
        window_rows: Rows of a window of telemetry.
        warmup_rows: Rows from which a device learns what is normal for it.
        broker: URL of the MQTT broker, "embedded", or empty: then telemetry comes with check-ins only.
        trust_asserted: Let telemetry that came through the embedded broker judge, as a demo may: there, each device
            can speak as any other.
        telemetry_days: Days for which rows of telemetry are kept.
    """

    host: str = "127.0.0.1"
    bind: str = "127.0.0.1"
    enrolment_port: int = 7443
    device_port: int = 7444
    operator_port: int = 7445
    check_in_seconds: float = 900.0
    rollout_tick_seconds: float = 5.0
    probation_rows: int = 500
    probation_seconds: float = 600.0
    window_rows: int = 200
    warmup_rows: int = 2000
    broker: str = ""
    trust_asserted: bool = False
    telemetry_days: int = 30

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            InputError: One cannot be meant.
        """
        for name, value in dataclasses.asdict(self).items():
            least = _LEAST.get(name, 0)
            if name.endswith("_port") and not 0 <= value <= 65535:
                raise InputError(f"[config] {name} is {value}, expected a port from 0 to 65535")
            if name in ("host", "bind") and not value:
                raise InputError(f"[config] {name} is empty, expected a name or address")
            if not isinstance(value, str) and not least <= value < 1 << 31:  # NaN too
                raise InputError(f"[config] {name} is {value}, expected at least {least:g} and less than 2^31")


def load_config(path: Path) -> ServerConfig:
    """Reads fleet.toml.

    Raises:
        InputError: It cannot be read, or has a key or value that is not allowed.
    """
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"[config] {path} cannot be read: {error}. Make it with: sanderling fleet init") from error
    return from_table(ServerConfig, values, str(path))


def with_settings(config: ServerConfig, settings: Sequence[str]) -> ServerConfig:
    """A configuration with some values replaced.

    Args:
        config: The rest.
        settings: KEY=VALUE each, as on a command line; text needs no quotes.

    Raises:
        InputError: One is not of this form, its key is unknown, or its value has another type.
    """
    values = dataclasses.asdict(config)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise InputError(f"[config] {setting!r} is no KEY=VALUE, such as check_in_seconds=60")
        try:
            values[key] = tomllib.loads(f"value = {text}")["value"]
        except ValueError:
            values[key] = text
    return from_table(ServerConfig, values, "the command line")


def config_text(config: ServerConfig) -> str:
    """A configuration as TOML."""
    # What JSON writes of text, numbers and truth, TOML reads.
    lines = [f"{name} = {json.dumps(value)}" for name, value in dataclasses.asdict(config).items()]
    return "\n".join(lines) + "\n"


def from_table(kind: type[T], values: dict[str, Any], where: str) -> T:
    """Makes a dataclass of settings from a TOML table.

    Raises:
        InputError: A key is unknown (the nearest known one is suggested), or a value has another type.
    """
    assert dataclasses.is_dataclass(kind)
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    for name, value in values.items():
        if name not in defaults:
            near = difflib.get_close_matches(name, defaults, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known are {', '.join(sorted(defaults))}"
            raise InputError(f"[config] {where} has the unknown key {name!r}. {hint}")
        wanted = type(defaults[name])
        fits = isinstance(value, (int, float) if wanted is float else wanted)
        if not fits or isinstance(value, bool) != (wanted is bool):
            raise InputError(f"[config] {where}: {name} is {value!r}, expected {wanted.__name__}")
    return kind(**values)
