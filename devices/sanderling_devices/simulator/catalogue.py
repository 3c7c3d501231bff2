"""What the package carries: scenarios and device profiles."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import sanderling
from sanderling.api.device.v1 import enrolment_pb2
from sanderling.errors import InputError
from sanderling_devices.simulator.reading import Seconds, read, suggestion
from sanderling_devices.simulator.scenario import Scenario, parse_scenario


@dataclass(frozen=True)
class Profile:
    """A kind of machine.

    Attributes:
        machine: Of uname.
        isas: Of the engine, that run there.
        memory_bytes: Of RAM.
        slowness: Latency there over that on an x86 gateway.
        build: To make a plan from a model.
        accelerator: Empty without one.
    """

    machine: str
    isas: tuple[str, ...]
    memory_bytes: int
    slowness: float
    build: Seconds
    accelerator: str = ""

    def facts(self, name: str) -> enrolment_pb2.DeviceFacts:
        """What such a device says of itself."""
        return enrolment_pb2.DeviceFacts(
            machine=self.machine,
            isas=self.isas,
            memory_bytes=self.memory_bytes,
            accelerator=self.accelerator,
            runtime_version=sanderling.__version__,
            profile=name,
        )


@cache
def load_profile(name: str) -> Profile:
    """A device profile of the package.

    Raises:
        InputError: There is none of that name.
    """
    known = {item.name.removesuffix(".toml"): item for item in files("sanderling_devices.profiles").iterdir()}
    known = {stem: item for stem, item in known.items() if item.name.endswith(".toml")}
    if name not in known:
        raise InputError(f"[scenario] there is no device profile {name!r}. {suggestion(name, known)}")
    return read(Profile, tomllib.loads(known[name].read_text()), f"profile {name}")


def packaged_scenarios() -> dict[str, str]:
    """Texts of the packaged scenarios by name, sorted."""
    folder = files("sanderling_devices.simulator") / "scenarios"
    found = {i.name.removesuffix(".toml"): i.read_text() for i in folder.iterdir() if i.name.endswith(".toml")}
    return dict(sorted(found.items()))


def find_scenario(name: str) -> Scenario:
    """A scenario by its file, or by its name among the packaged ones.

    Raises:
        InputError: There is none, or it is refused.
    """
    packaged = packaged_scenarios()
    if name in packaged:
        return parse_scenario(packaged[name], name)
    try:
        text = Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"[scenario] {name} is no file that can be read and no packaged scenario. {suggestion(name, packaged)}"
        ) from error
    return parse_scenario(text, Path(name).name)
