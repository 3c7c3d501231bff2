"""What can be set about watching."""

from __future__ import annotations

from dataclasses import dataclass

from sanderling.errors import InputError


@dataclass(frozen=True)
class Settings:
    """How a fleet is watched; the same on all its devices.

    Attributes:
        window_rows: Rows of a window.
        warmup_rows: Rows from which a device learns its own reference.
        average_run_length: A: an unchanged fleet alarms at most once in so many windows on average; each device
            alarms at most once in A times `devices` windows.
        tolerance: Change that nobody cares about, as the shift of a mean rank on [-1, 1]: 0.02 is 0.035 standard
            deviations of a normal feature. The reference's own error is added to it.
        devices: Devices of the fleet.
    """

    window_rows: int = 200
    warmup_rows: int = 2000
    average_run_length: float = 1000.0
    tolerance: float = 0.02
    devices: int = 1

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            InputError: One is out of range.
        """
        if self.window_rows < 1 or self.warmup_rows < self.window_rows or self.devices < 1:
            raise InputError(
                f"[settings] window_rows {self.window_rows}, warmup_rows {self.warmup_rows}, devices {self.devices}. "
                "Give at least one row, one window of warm-up and one device"
            )
        if not self.average_run_length > 1 or not 0 <= self.tolerance < 1:
            raise InputError(
                f"[settings] average_run_length {self.average_run_length}, tolerance {self.tolerance}. Give more than "
                "1 window and a tolerance in [0, 1)"
            )
