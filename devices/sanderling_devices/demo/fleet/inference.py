"""How an application asks a model: the Open Inference Protocol over one kept connection, tensors as raw bytes."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sanderling.errors import TransportError

_HEADER = "Inference-Header-Content-Length"


@dataclass(frozen=True, eq=False)
class Answer:
    """An answer, with the version that gave it.

    Attributes:
        version: "NAME-VERSION".
        scores: float32 [rows, classes].
    """

    version: str
    scores: NDArray[np.float32]


class Client:
    """One connection to a router; a failed request closes it and the next one opens it anew.

    Args:
        host: Of the router.
        port: Of the router.
        slot: Of the model.
        timeout_s: Of one request.
    """

    def __init__(self, host: str, port: int, slot: str, timeout_s: float = 30.0) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        self._target = f"/v2/models/{slot}/infer"

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def infer(self, frames: NDArray[np.float32], name: str = "image") -> Answer:
        """Asks for one or several rows.

        Raises:
            TransportError: There was no answer, or it was a refusal.
        """
        given = np.ascontiguousarray(frames, "<f4")
        tensor = {"name": name, "datatype": "FP32", "shape": list(given.shape)}
        head = json.dumps(
            {
                "inputs": [{**tensor, "parameters": {"binary_data_size": given.nbytes}}],
                "parameters": {"binary_data_output": True},
            }
        ).encode()
        try:
            self._connection.request("POST", self._target, head + given.tobytes(), {_HEADER: str(len(head))})
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise TransportError(f"[infer] no answer: {error!r}") from error
        if response.status != 200:
            raise TransportError(f"[infer] status {response.status}: {body.decode(errors='replace')}")
        size = int(response.headers[_HEADER])
        said = json.loads(body[:size])
        scores = np.frombuffer(body[size:], "<f4").reshape(said["outputs"][0]["shape"])
        return Answer(str(said["model_version"]), scores)
