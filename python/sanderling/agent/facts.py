"""What this machine is, as it says itself."""

from __future__ import annotations

import os
import platform

import sanderling
from sanderling.api.device.v1 import enrolment_pb2
from sanderling.versions import Host


def find_facts(profile: str = "") -> enrolment_pb2.DeviceFacts:
    """Facts for enrolment and check-ins.

    Args:
        profile: Name of the device profile, or empty.
    """
    from sanderling import _core  # the engine's own C++, which needs no NumPy to say what runs here

    return enrolment_pb2.DeviceFacts(
        machine=platform.machine(),
        isas=list(_core.runnable_isas()),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        runtime_version=sanderling.__version__,
        profile=profile,
    )


def host_of(facts: enrolment_pb2.DeviceFacts) -> Host:
    """The same, as compatibility asks it."""
    return Host(facts.machine, tuple(facts.isas), facts.memory_bytes, facts.accelerator, facts.runtime_version)
