"""The error tree. Every error that Sanderling raises on purpose is a `SanderlingError`.

| class            | raised when                                             | exit code | gRPC status         |
| ---------------- | ------------------------------------------------------- | --------- | ------------------- |
| SanderlingError  | the root; never raised itself                           | 1         | UNKNOWN             |
| ModelError       | a model file is damaged, inconsistent or breaks a limit | 1         | INVALID_ARGUMENT    |
| InputError       | an array, name, shape, dtype or setting is wrong        | 1         | INVALID_ARGUMENT    |
| UnsupportedError | valid, but this build, host or runtime cannot do it     | 1         | UNIMPLEMENTED       |
| TransportError   | the other side cannot be reached                        | 5         | UNAVAILABLE         |
| AuthError        | the caller is not who may do this                       | 4         | PERMISSION_DENIED   |
| IntegrityError   | a signature, digest or version order is wrong           | 6         | DATA_LOSS           |
| GateRefused      | a gate judged and said no                               | 7         | FAILED_PRECONDITION |
| DeadlineError    | it did not end in time                                  | 8         | DEADLINE_EXCEEDED   |
| CancelledError   | somebody stopped it before it ended                     | 1         | CANCELLED           |
| InternalError    | our own bug                                             | 1         | INTERNAL            |

The C++ core raises ModelError, InputError, UnsupportedError, DeadlineError, CancelledError and InternalError
(csrc/core/error.h). Messages read
"[operation] what is wrong, both values. What to do".
"""

from __future__ import annotations

from typing import ClassVar


class SanderlingError(Exception):
    """The root of all errors that Sanderling raises on purpose."""

    exit_code: ClassVar[int] = 1
    grpc_status: ClassVar[str] = "UNKNOWN"


class ModelError(SanderlingError, ValueError):
    """A model file is damaged, inconsistent or breaks a limit."""

    grpc_status = "INVALID_ARGUMENT"


class InputError(SanderlingError, ValueError):
    """An array, name, shape, dtype or setting that the caller gave is wrong."""

    grpc_status = "INVALID_ARGUMENT"


class UnsupportedError(SanderlingError):
    """The request is valid, but this build, host or runtime cannot do it."""

    grpc_status = "UNIMPLEMENTED"


class TransportError(SanderlingError):
    """The other side cannot be reached."""

    exit_code = 5
    grpc_status = "UNAVAILABLE"


class AuthError(SanderlingError):
    """The caller is not who may do this."""

    exit_code = 4
    grpc_status = "PERMISSION_DENIED"


class IntegrityError(SanderlingError):
    """A signature, digest or version order is wrong."""

    exit_code = 6
    grpc_status = "DATA_LOSS"


class GateRefused(SanderlingError):
    """A gate judged and said no."""

    exit_code = 7
    grpc_status = "FAILED_PRECONDITION"


class DeadlineError(SanderlingError):
    """Something did not end in time."""

    exit_code = 8
    grpc_status = "DEADLINE_EXCEEDED"


class CancelledError(SanderlingError):
    """Something was stopped before it ended."""

    grpc_status = "CANCELLED"


class InternalError(SanderlingError):
    """A bug of ours."""

    grpc_status = "INTERNAL"
