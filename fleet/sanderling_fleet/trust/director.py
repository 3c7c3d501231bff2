"""The director: signs what the fleet wants of each device. Its key is online; TUF's targets say which key it is.

It can only choose among versions that the release role signed, so a stolen director key ships no model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sanderling.api.device.v1 import device_pb2
from sanderling.trust import DESIRED_STATE_CONTEXT, key_id, sign


@dataclass(frozen=True)
class SignedState:
    """A signed DesiredState, as it travels.

    Attributes:
        counter: The one inside.
        payload: A serialized device.v1.DesiredState.
        key_id: Of the director's key.
        signature: Ed25519.
    """

    counter: int
    payload: bytes
    key_id: str
    signature: bytes


class Director:
    """Signs desired states."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @property
    def public_key(self) -> Ed25519PublicKey:
        """What `keys/director.json` names."""
        return self._key.public_key()

    def sign(
        self,
        device_id: str,
        counter: int,
        now: float,
        slots: Sequence[device_pb2.DesiredSlot],
        telemetry: device_pb2.TelemetryPlan,
    ) -> SignedState:
        """Signs one state.

        Args:
            device_id: Whom it is for; the device checks it.
            counter: From `next_counter`.
            now: Seconds since the epoch.
            slots: All slots of the device, those that do not change included.
            telemetry: What it sends.
        """
        state = device_pb2.DesiredState(device_id=device_id, counter=counter, slots=slots, telemetry=telemetry)
        state.issued_at.FromNanoseconds(int(now * 1e9))
        payload = state.SerializeToString(deterministic=True)
        return SignedState(counter, payload, key_id(self.public_key), sign(self._key, DESIRED_STATE_CONTEXT, payload))


def next_counter(now: float, *seen: int) -> int:
    """A counter above all that were `seen`, and at least the time: a server restored from a backup is not behind.

    Args:
        now: Seconds since the epoch.
        seen: Counters that were handed out or that the other side holds.
    """
    return max([math.floor(now), *(count + 1 for count in seen)])
