"""`attach`: runs a slot's active version inside an application, and changes with it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy.typing as npt

from sanderling._hand_over import HandOver, Seen, Sender
from sanderling._model import TensorSpec
from sanderling._session import Session
from sanderling._windows import Windows, check_reference
from sanderling.drift import Reference, Settings
from sanderling.errors import InputError, IntegrityError
from sanderling.versions._active import Active, Generation, read_active, socket_path
from sanderling.versions._stored import check_signature, read_version

Array = npt.NDArray[Any]
STATE_FOLDER = "/var/lib/sanderling"
_log = logging.getLogger("sanderling.attach")


def attach(slot: str, *, folder: str | os.PathLike[str] | None = None, threads: int = 1) -> Attached:
    """Opens the active version of a slot in this process.

    The agent decides which version that is. When it changes, the new one loads in the background and the next call
    after that takes it. What is seen goes to the agent, which counts it like what its own runner saw; an agent that
    does not listen costs the application nothing.

    Args:
        slot: Of the model.
        folder: The agent's state folder; SANDERLING_AGENT_STATE or /var/lib/sanderling if it is left out.
        threads: Of one run, 1 to 256.

    Raises:
        TransportError: Nothing is active in the slot, or this process may not read it: it has to be in the group
            sanderling.
        IntegrityError: What is active is damaged.
        ModelError: The model is damaged, or does not fit its manifest.
        UnsupportedError: This host cannot run the model, or the extra `agent` is not installed.
    """
    if not slot or "/" in slot or slot.startswith("."):
        raise InputError(f"[attach] {slot!r} is no name of a slot")
    state = Path(folder or os.environ.get("SANDERLING_AGENT_STATE") or STATE_FOLDER)
    return Attached(slot, state / "attach", threads)


class _Loaded:
    """One version in this process."""

    def __init__(self, active: Active, threads: int) -> None:
        try:
            digest = bytes.fromhex(active.manifest_digest)
        except ValueError as error:
            raise IntegrityError(
                f"[attach] {active.version} has manifest {active.manifest_digest!r}: {error}"
            ) from error
        stored = read_version(active.blobs_folder, digest)
        self.active = active
        self.session = Session(stored.model, backend="auto", threads=threads)
        check_signature(stored.manifest, self.session.inputs, self.session.outputs)
        windows = None
        if stored.reference is not None:
            reference = Reference.from_bytes(stored.reference)
            check_reference(reference, self.session.inputs)
            settings = Settings(
                window_rows=active.window_rows, warmup_rows=active.warmup_rows, devices=active.fleet_devices
            )
            windows = Windows(reference, device=active.device_id, settings=settings)
        self.hand_over = HandOver(windows, version=active.version, window_rows=active.window_rows)


class Attached:
    """The active version of a slot; runs like a `Session`. Made by `attach`. Safe to call from several threads."""

    def __init__(self, slot: str, folder: Path, threads: int) -> None:
        self._slot, self._folder, self._threads = slot, folder, threads
        self._lock = threading.Lock()
        self._generation = Generation(folder, slot)
        self._noticed = self._generation.read()
        self._loading = False
        self._closed = False
        self._ready: _Loaded | None = None
        self._current = _Loaded(read_active(folder, slot), threads)
        self._sender = Sender(slot, socket_path(folder, slot))

    @property
    def version(self) -> str:
        """NAME-VERSION of what the next call runs, unless another one becomes active before."""
        return self._now().active.version

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The model's inputs in order."""
        return self._now().session.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The model's outputs in order."""
        return self._now().session.outputs

    @property
    def dropped(self) -> int:
        """Requests and messages that did not get to the agent, since they came too fast or it did not listen."""
        return self._sender.dropped

    def run(self, inputs: Any) -> Any:
        """Runs the active version once; see `Session.run`."""
        loaded = self._now()
        begin = time.perf_counter()
        try:
            result = loaded.session.run(inputs)
        except InputError:
            self._sender.put(Seen.refused(loaded.hand_over, loaded.session, inputs))
            raise
        self._sender.put(
            Seen.answered(loaded.hand_over, loaded.session, inputs, result, (time.perf_counter() - begin) * 1e6)
        )
        return result

    def run_into(self, inputs: Any, outputs: Any) -> None:
        """Runs the active version and writes into arrays that the caller owns; see `Session.run_into`."""
        loaded = self._now()
        begin = time.perf_counter()
        try:
            loaded.session.run_into(inputs, outputs)
        except InputError:
            self._sender.put(Seen.refused(loaded.hand_over, loaded.session, inputs))
            raise
        self._sender.put(
            Seen.answered(loaded.hand_over, loaded.session, inputs, outputs, (time.perf_counter() - begin) * 1e6)
        )

    def info(self) -> Mapping[str, Any]:
        """Says what runs: slot, version, and what `Session.info` says."""
        loaded = self._now()
        return {"slot": self._slot, "version": loaded.active.version, **loaded.session.info()}

    def close(self) -> None:
        """Hands over what was seen and lets go of the model."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._sender.close()
        self._current.session.close()

    def __enter__(self) -> Attached:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _now(self) -> _Loaded:
        """The version to run: one comparison in mapped memory unless it has changed."""
        if self._generation.read() != self._noticed:
            self._notice()
        if self._ready is not None:
            with self._lock:
                if self._ready is not None:
                    # The former one goes when its last call, in whatever thread, has ended.
                    self._current, self._ready = self._ready, None
        return self._current

    def _notice(self) -> None:
        with self._lock:
            self._noticed = self._generation.read()
            if self._loading or self._closed:
                return
            self._loading = True
        threading.Thread(target=self._load, name="sanderling attach", daemon=True).start()

    def _load(self) -> None:
        """Loads what is active until nothing newer is."""
        while True:
            generation = self._generation.read()
            try:
                active = read_active(self._folder, self._slot)
                latest = self._ready or self._current
                if active != latest.active:
                    loaded = _Loaded(active, self._threads)
                    with self._lock:
                        self._ready = loaded
            except Exception as error:  # whatever it is, the next version must be loaded
                _log.warning("slot %s stays at %s: %s", self._slot, self._current.active.version, error)
                self._sender.report(self._current.hand_over, "attach.load_failed", str(error))
            with self._lock:
                if self._closed or self._generation.read() == generation:
                    self._loading = False
                    return
