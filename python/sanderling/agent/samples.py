"""Rows that runners kept for retraining, handed to the fleet when it asked for them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from sanderling.api.retrain.v1 import samples_pb2
from sanderling.api.runner.v1 import runner_pb2
from sanderling.errors import SanderlingError

_MOST_BYTES = 2 << 20
"""Of one upload; gRPC's own limit is 4 MiB."""
_MOST_UPLOADS = 16
_log = logging.getLogger("sanderling.agent")


class SampleSource(Protocol):
    """Runners, as far as samples go."""

    def take_samples(
        self, slot: str, version: str, acknowledged: Mapping[str, int], most_bytes: int
    ) -> tuple[str, Sequence[runner_pb2.RunnerSample]]:
        """The runner's instance, and its samples after the one that `acknowledged` has for that instance."""
        ...


class SampleUploads:
    """Hands samples over after a check-in; what the fleet has stored is acknowledged to the runner.

    Args:
        upload: Calls the fleet.
        source: Of samples.
    """

    def __init__(
        self,
        upload: Callable[[samples_pb2.UploadSamplesRequest], samples_pb2.UploadSamplesResponse],
        source: SampleSource,
    ) -> None:
        self._upload, self._source = upload, source
        self._acknowledged: dict[str, int] = {}

    def send(self, slots: Sequence[tuple[str, str]], budget_bytes: int) -> int:
        """Sends what there is.

        Args:
            slots: (slot, version) of runners that answer.
            budget_bytes: As the fleet last said; the fleet counts, and answers what is left.

        Returns:
            Samples that the fleet has stored.
        """
        stored, left = 0, budget_bytes
        try:
            for slot, version in slots:
                for _ in range(_MOST_UPLOADS):
                    if left <= 0:
                        return stored
                    count, left = self._send_some(slot, version, left)
                    stored += count
                    if not count:
                        break
        except SanderlingError as error:
            _log.info("samples wait for the next check-in: %s", error)
        return stored

    def _send_some(self, slot: str, version: str, left: int) -> tuple[int, int]:
        instance, samples = self._source.take_samples(slot, version, self._acknowledged, min(left, _MOST_BYTES))
        if not samples:
            return 0, left
        # Unique on the device, also when a runner that was started again counts from 1. 63 bits, as the fleet keeps.
        base = (int.from_bytes(hashlib.sha256(instance.encode()).digest()[:4], "big") >> 1) << 32
        request = samples_pb2.UploadSamplesRequest(samples=[self._wire(slot, version, base, s) for s in samples])
        answer = self._upload(request)
        committed, stored = set(answer.committed_sample_ids), 0
        for sample in samples:
            if base + sample.sample_id not in committed:
                break  # only what has no gap before it may be acknowledged
            self._acknowledged[instance] = sample.sample_id
            stored += 1
        return stored, answer.remaining_budget_bytes

    def _wire(self, slot: str, version: str, base: int, sample: runner_pb2.RunnerSample) -> samples_pb2.Sample:
        return samples_pb2.Sample(
            sample_id=base + sample.sample_id,
            slot=slot,
            version=version,
            window=sample.window,
            inputs=sample.inputs,
            uniform=sample.uniform,
            weight=sample.weight,
        )
