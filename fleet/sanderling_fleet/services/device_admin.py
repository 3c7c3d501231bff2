"""The operator listener: devices, groups, the audit log."""

from __future__ import annotations

from sanderling.api.device.v1 import device_admin_pb2 as pb
from sanderling.api.device.v1.device_admin_pb2_grpc import DeviceAdminServiceServicer
from sanderling_fleet.core import audit, devices, enrolment
from sanderling_fleet.core.context import Core
from sanderling_fleet.services.interceptor import Context
from sanderling_fleet.services.paging import page, page_size
from sanderling_fleet.services.translate import audit_messages, device_message
from sanderling_fleet.wire import seconds_of, timestamp


class DeviceAdminService(DeviceAdminServiceServicer):
    """See device_admin.proto."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def CreateJoinToken(self, request: pb.CreateJoinTokenRequest, context: Context) -> pb.CreateJoinTokenResponse:
        """See device_admin.proto."""
        devices.check_labels(request.labels)
        token, expires_at = await enrolment.create_join_token(
            self._core, labels=request.labels, approved=request.approved, life_seconds=seconds_of(request.life)
        )
        return pb.CreateJoinTokenResponse(join_token=token.to_text(), expires_at=timestamp(expires_at))

    async def ListDevices(self, request: pb.ListDevicesRequest, context: Context) -> pb.ListDevicesResponse:
        """See device_admin.proto."""
        found, following = await devices.list_devices(
            self._core, request.selector, request.page_token, page_size(request.page_size)
        )
        return pb.ListDevicesResponse(devices=[device_message(item) for item in found], next_page_token=following)

    async def GetDevice(self, request: pb.GetDeviceRequest, context: Context) -> pb.GetDeviceResponse:
        """See device_admin.proto."""
        return pb.GetDeviceResponse(device=device_message(await devices.get_device(self._core, request.device_id)))

    async def ApproveDevice(self, request: pb.ApproveDeviceRequest, context: Context) -> pb.ApproveDeviceResponse:
        """See device_admin.proto."""
        return pb.ApproveDeviceResponse(device=device_message(await devices.approve(self._core, request.device_id)))

    async def RevokeDevice(self, request: pb.RevokeDeviceRequest, context: Context) -> pb.RevokeDeviceResponse:
        """See device_admin.proto."""
        found = await devices.revoke(self._core, request.device_id, request.reason)
        return pb.RevokeDeviceResponse(device=device_message(found))

    async def LabelDevice(self, request: pb.LabelDeviceRequest, context: Context) -> pb.LabelDeviceResponse:
        """See device_admin.proto."""
        found = await devices.label(self._core, request.device_id, request.set, request.remove)
        return pb.LabelDeviceResponse(device=device_message(found))

    async def SetGroup(self, request: pb.SetGroupRequest, context: Context) -> pb.SetGroupResponse:
        """See device_admin.proto."""
        group = await devices.set_group(self._core, request.name, request.selector)
        return pb.SetGroupResponse(group=pb.Group(name=group.name, selector=group.selector))

    async def DeleteGroup(self, request: pb.DeleteGroupRequest, context: Context) -> pb.DeleteGroupResponse:
        """See device_admin.proto."""
        await devices.delete_group(self._core, request.name)
        return pb.DeleteGroupResponse()

    async def ListGroups(self, request: pb.ListGroupsRequest, context: Context) -> pb.ListGroupsResponse:
        """See device_admin.proto."""
        listed, following = page(await devices.list_groups(self._core), lambda group: (group.name,), request)
        groups = [pb.Group(name=group.name, selector=group.selector) for group in listed]
        return pb.ListGroupsResponse(groups=groups, next_page_token=following)

    async def ListAudit(self, request: pb.ListAuditRequest, context: Context) -> pb.ListAuditResponse:
        """See device_admin.proto."""
        lines = await audit.lines(self._core, request.after_sequence, page_size(request.page_size))
        return pb.ListAuditResponse(lines=audit_messages(lines))
