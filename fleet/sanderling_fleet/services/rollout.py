"""The operator listener: rollouts."""

from __future__ import annotations

from sanderling.api.rollout.v1 import rollout_pb2 as pb
from sanderling.api.rollout.v1.rollout_pb2_grpc import RolloutServiceServicer
from sanderling_fleet.core import rollouts
from sanderling_fleet.core.context import Core
from sanderling_fleet.core.rollouts import Stored
from sanderling_fleet.rollout_events import Abort, Command, Pause, Promote, Resume, RollBack
from sanderling_fleet.rollout_wire import rollout_message, spec_of
from sanderling_fleet.services.interceptor import CALL, Context
from sanderling_fleet.services.paging import page


class RolloutService(RolloutServiceServicer):
    """See rollout.proto."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def CreateRollout(self, request: pb.CreateRolloutRequest, context: Context) -> pb.CreateRolloutResponse:
        """See rollout.proto."""
        stored, incompatible = await rollouts.create(
            self._core,
            spec_of(request.spec),
            request_id=request.request_id,
            created_by=CALL.get().caller,
            tokens=request.downgrade_tokens,
            validate_only=request.validate_only,
        )
        CALL.get().subject = stored.rollout.rollout_id
        return pb.CreateRolloutResponse(rollout=_message(stored), incompatible=incompatible)

    async def ListRollouts(self, request: pb.ListRolloutsRequest, context: Context) -> pb.ListRolloutsResponse:
        """See rollout.proto."""
        found = await rollouts.list_all(self._core)
        listed, following = page(found, lambda item: (-item.rollout.created_at, item.rollout.rollout_id), request)
        return pb.ListRolloutsResponse(
            rollouts=[_message(stored, assignments=False) for stored in listed], next_page_token=following
        )

    async def GetRollout(self, request: pb.GetRolloutRequest, context: Context) -> pb.GetRolloutResponse:
        """See rollout.proto."""
        return pb.GetRolloutResponse(rollout=_message(await rollouts.get(self._core, request.rollout_id)))

    async def PauseRollout(self, request: pb.PauseRolloutRequest, context: Context) -> pb.PauseRolloutResponse:
        """See rollout.proto."""
        done = await self._command(request.rollout_id, Pause(CALL.get().caller, request.reason))
        return pb.PauseRolloutResponse(rollout=done)

    async def ResumeRollout(self, request: pb.ResumeRolloutRequest, context: Context) -> pb.ResumeRolloutResponse:
        """See rollout.proto."""
        return pb.ResumeRolloutResponse(rollout=await self._command(request.rollout_id, Resume(CALL.get().caller)))

    async def AbortRollout(self, request: pb.AbortRolloutRequest, context: Context) -> pb.AbortRolloutResponse:
        """See rollout.proto."""
        done = await self._command(request.rollout_id, Abort(CALL.get().caller, request.reason))
        return pb.AbortRolloutResponse(rollout=done)

    async def RollBackRollout(self, request: pb.RollBackRolloutRequest, context: Context) -> pb.RollBackRolloutResponse:
        """See rollout.proto."""
        event = RollBack(CALL.get().caller, request.reason)
        done = await rollouts.command(self._core, request.rollout_id, event, request.downgrade_tokens)
        return pb.RollBackRolloutResponse(rollout=_message(done))

    async def PromoteRollout(self, request: pb.PromoteRolloutRequest, context: Context) -> pb.PromoteRolloutResponse:
        """See rollout.proto."""
        stage = request.stage if request.HasField("stage") else None
        done = await self._command(request.rollout_id, Promote(CALL.get().caller, stage))
        return pb.PromoteRolloutResponse(rollout=done)

    async def _command(self, rollout_id: str, event: Command) -> pb.Rollout:
        return _message(await rollouts.command(self._core, rollout_id, event))


def _message(stored: Stored, *, assignments: bool = True) -> pb.Rollout:
    return rollout_message(stored.rollout, stored.created_by, assignments=assignments)
