"""Errors over the wire: a status for every program, and in a trailer the class, for ours."""

from __future__ import annotations

import grpc

from sanderling import errors
from sanderling._protocol import ERROR_KEY
from sanderling.errors import SanderlingError, TransportError

_MOST_DETAILS, _MOST_FOREIGN = 2000, 600
"""Characters of a message, and of one with others than ASCII: gRPC refuses an answer whose status has more than 8 kB,
and sends up to twelve of these for a character of those."""
_CLASSES = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, SanderlingError)
}


def status_of(error: SanderlingError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]]:
    """What a server answers: status, details, trailing metadata."""
    # A class that only the server has, such as rollout.IllegalInState, travels as the one that it derives from.
    known = next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _CLASSES)
    return grpc.StatusCode[error.grpc_status], _details(str(error)), ((ERROR_KEY, known),)


def _details(text: str) -> str:
    return shortened(text, _MOST_DETAILS if text.isascii() else _MOST_FOREIGN)


def shortened(text: str, most: int) -> str:
    """The beginning of a text that has more than `most` characters."""
    return text if len(text) <= most else text[:most] + "..."


def error_of(call: grpc.RpcError) -> SanderlingError:
    """What a client raises for a failed call: the server's class, else one that fits the status."""
    assert isinstance(call, grpc.Call | grpc.aio.AioRpcError)
    code, details = call.code(), call.details() or ""
    trailers = {key: value for key, value in call.trailing_metadata() or ()}
    kind = _CLASSES.get(str(trailers.get(ERROR_KEY, "")))
    if kind is not None:
        return kind(details)
    for other in _CLASSES.values():
        if other is not SanderlingError and other.grpc_status == code.name and code != grpc.StatusCode.INVALID_ARGUMENT:
            return other(f"[server] {details}")
    return TransportError(f"[server] answered {code.name}: {details}")
