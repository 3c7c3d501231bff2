"""What surrounds every call: who calls, may they, what went wrong, and the line about it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeAlias

import grpc

from sanderling.errors import InternalError, SanderlingError, TransportError
from sanderling_fleet.services.errors import status_of

_log = logging.getLogger(__name__)
# grpc's classes take type arguments in its stubs only.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


@dataclass
class Call:
    """One call under way.

    Attributes:
        method: "/sanderling.api.device.v1.DeviceService/CheckIn".
        caller: Id of the device or name of the operator's token; empty until admitted, or on enrolment.
        subject: What it is about, for the audit log.
    """

    method: str
    caller: str = ""
    subject: str = ""


CALL: ContextVar[Call] = ContextVar("call")
"""The call that the running handler answers."""


class Access(Protocol):
    """How a listener knows its callers."""

    async def admit(self, call: Call, context: Context) -> None:
        """Fills in the caller.

        Raises:
            AuthError: It may not do this.
        """
        ...

    async def done(self, call: Call, failure: SanderlingError | None) -> None:
        """Takes note of how it ended, before the answer leaves."""
        ...


class OpenAccess:
    """Admits everyone: enrolment, where a secret in the request decides."""

    async def admit(self, call: Call, context: Context) -> None:
        """See `Access.admit`."""

    async def done(self, call: Call, failure: SanderlingError | None) -> None:
        """See `Access.done`."""


class Interceptor(grpc.aio.ServerInterceptor):
    """Asks who calls and turns errors into status, so that handlers contain no try and no check of the caller."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wraps the handler of one call."""
        method = handler_call_details.method
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return handler
        if handler.unary_unary or handler.stream_unary:
            inner = handler.unary_unary or handler.stream_unary
            make = grpc.unary_unary_rpc_method_handler if handler.unary_unary else grpc.stream_unary_rpc_method_handler
            wrapped = self._unary(method, inner)
        elif handler.unary_stream:
            make = grpc.unary_stream_rpc_method_handler
            wrapped = self._stream(method, handler.unary_stream)
        else:
            raise NotImplementedError(f"{method} streams both ways, which none of the protocols does")
        return make(wrapped, handler.request_deserializer, handler.response_serializer)

    def _unary(self, method: str, inner: Callable[[Any, Context], Awaitable[Any]]) -> Any:
        async def answer(request: Any, context: Context) -> Any:
            call = Call(method, subject=_subject(request))
            CALL.set(call)
            failure: SanderlingError | None = None
            response = None
            try:
                await self._access.admit(call, context)
                response = await inner(request, context)
            except asyncio.CancelledError:
                await asyncio.shield(self._access.done(call, TransportError("[call] the caller went away")))
                raise
            except Exception as error:
                failure = _failure(method, error)
            await self._access.done(call, failure)
            if failure is not None:
                await _abort(context, failure)
            return response

        return answer

    def _stream(self, method: str, inner: Callable[[Any, Context], AsyncIterator[Any]]) -> Any:
        async def answer(request: Any, context: Context) -> AsyncIterator[Any]:
            call = Call(method, subject=_subject(request))
            CALL.set(call)
            failure: SanderlingError | None = None
            try:
                await self._access.admit(call, context)
                async for response in inner(request, context):
                    yield response
            except (asyncio.CancelledError, GeneratorExit):
                await asyncio.shield(self._access.done(call, TransportError("[call] the caller went away")))
                raise
            except Exception as error:
                failure = _failure(method, error)
            await self._access.done(call, failure)
            if failure is not None:
                await _abort(context, failure)

        return answer


def _failure(method: str, error: Exception) -> SanderlingError:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, SanderlingError):
        return error
    # What went wrong inside is for the server's log, not for whoever calls.
    _log.error("%s failed", method, exc_info=error)
    return InternalError(f"[server] {method.rpartition('/')[2]} failed by a fault of the server's. See its log")


async def _abort(context: Context, failure: SanderlingError) -> NoReturn:
    await context.abort(*status_of(failure))


def _subject(request: Any) -> str:
    for name in ("device_id", "version", "role", "name", "selector"):
        value = getattr(request, name, "")
        if isinstance(value, str) and value:
            return value
    return ""
