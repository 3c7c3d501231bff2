"""Errors over gRPC: one interceptor on the runner's side, one function on the caller's."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import grpc

from sanderling._protocol import ERROR_KEY
from sanderling.errors import InternalError, SanderlingError

_log = logging.getLogger("sanderling.runner")


class ErrorInterceptor(grpc.ServerInterceptor):
    """Turns errors of unary calls into a status, with the class's name in the trailing metadata."""

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wraps the method."""
        handler = continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        method = handler.unary_unary

        def call(request: Any, context: grpc.ServicerContext) -> Any:
            try:
                return method(request, context)
            except SanderlingError as error:
                found: SanderlingError = error
            except Exception as error:
                _log.exception("a call failed")
                found = InternalError(f"[runner] {type(error).__name__}: {error}")
            context.set_trailing_metadata(((ERROR_KEY, type(found).__name__),))
            context.abort(grpc.StatusCode[found.grpc_status], str(found))

        return grpc.unary_unary_rpc_method_handler(
            call, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )
