"""Watches what a model sees: references, sketches, and verdicts about a device and about a fleet.

    reference = Reference.fit(rows, scores)                       # the version's: what is normal
    monitor = DeviceMonitor(reference, device="camera 7")         # learns what is normal for this device
    verdicts = monitor.observe(rows, scores)                      # one per window of 200 rows
    fleet = FleetMonitor(["camera 7", "camera 8"])
    for verdict in verdicts:
        for fleet_verdict in fleet.add(verdict):
            print(fleet_verdict.summary)

The rules have no IO and no clock: the same rows in the same order give the same verdicts. An alarm says that data has
moved, never that the model is wrong; that takes outcomes.
"""

from sanderling.drift._detector import Cause, EDetector, Evidence
from sanderling.drift._device import DeviceMonitor, DeviceState, DeviceVerdict, RankCounts
from sanderling.drift._faults import SensorCheck, SensorFault, check_sensors
from sanderling.drift._fleet import FleetMemory, FleetMonitor, FleetVerdict, Scope
from sanderling.drift._reference import Reference
from sanderling.drift._report import Report, ReportRow, report
from sanderling.drift._settings import Settings
from sanderling.drift._sketches import InputSketch, OutputSketch, Sketches
from sanderling.drift._tilts import Tilts, nominal_tilts, ordered_tilts

__all__ = [
    "Cause",
    "DeviceMonitor",
    "DeviceState",
    "DeviceVerdict",
    "EDetector",
    "Evidence",
    "FleetMemory",
    "FleetMonitor",
    "FleetVerdict",
    "InputSketch",
    "OutputSketch",
    "RankCounts",
    "Reference",
    "Report",
    "ReportRow",
    "Scope",
    "SensorCheck",
    "SensorFault",
    "Settings",
    "Sketches",
    "Tilts",
    "check_sensors",
    "nominal_tilts",
    "ordered_tilts",
    "report",
]
