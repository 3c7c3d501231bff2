"""Lists in pages: all items once, whatever comes or goes in between."""

import grpc
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from running_fleet import refused

from sanderling.api.device.v1 import device_admin_pb2 as pb
from sanderling.errors import InputError
from sanderling_fleet.client import OperatorClient
from sanderling_fleet.services.paging import page


def request(size=0, token=""):
    return pb.ListGroupsRequest(page_size=size, page_token=token)


def key(item):
    return (-item[0], item[1])


items = st.lists(st.tuples(st.floats(0, 2e9), st.text(max_size=3)), unique=True, max_size=30)


@given(items, st.integers(1, 7))
def test_pages_have_every_item_once_in_order(listed, size):
    found, token = [], ""
    for _ in range(len(listed) + 1):
        some, token = page(listed, key, request(size, token))
        assert len(some) <= size
        found += some
        if not token:
            break
    assert found == sorted(listed, key=key)


def test_what_comes_and_goes_between_pages_moves_nothing_else():
    names = ["b", "d", "f", "h"]
    first, token = page(names, lambda name: (name,), request(2))
    rest, end = page(["a", "b", "e", "h"], lambda name: (name,), request(2, token))
    assert (first, rest, end) == (["b", "d"], ["e", "h"], "")


def test_a_page_has_100_items_and_at_most_1000():
    many = [f"{n:04}" for n in range(1001)]
    assert [len(page(many, lambda name: (name,), request(size))[0]) for size in (0, 1000, 4_000_000_000)] == [
        100,
        1000,
        1000,
    ]


@pytest.mark.parametrize("token", ["nonsense", "WzFd", "IngiCg==", "bnVsbA==", "\ufffd"])
def test_a_token_of_another_list_is_refused(token):
    with pytest.raises(InputError, match="none of this list's"):
        page(["a"], lambda name: (name,), request(1, token))


def test_every_list_call_has_pages():
    """All but the audit log, whose lines are numbered."""
    from sanderling.api.registry.v1 import registry_pb2
    from sanderling.api.retrain.v1 import retrain_pb2
    from sanderling.api.rollout.v1 import rollout_pb2
    from sanderling.api.telemetry.v1 import alert_pb2

    lists = 0
    for file in (pb, registry_pb2, retrain_pb2, rollout_pb2, alert_pb2):
        for service in file.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                if method.name.startswith("List") and method.name != "ListAudit":
                    lists += 1
                    assert {"page_size", "page_token"} <= set(method.input_type.fields_by_name), method.full_name
                    assert "next_page_token" in method.output_type.fields_by_name, method.full_name
    assert lists == 8


def test_groups_over_grpc(fleet):
    admin = fleet.admin()
    names = [f"group-{n}" for n in range(5)]
    for name in names:
        admin.SetGroup(pb.SetGroupRequest(name=name, selector="" if name == "group-0" else "site=a"))
    address = fleet.server.operator_address
    with OperatorClient(address, fleet.core.authority.pem.encode(), fleet.admin_token) as client:
        found = client.every(client.devices.ListGroups, pb.ListGroupsRequest(page_size=2), "groups")
    assert [group.name for group in found] == names
    assert isinstance(found[0], Message)
    assert found[0].selector == "", "an empty selector is a group of all devices"
    with refused(InputError, grpc.StatusCode.INVALID_ARGUMENT, "none of this list's"):
        admin.ListGroups(pb.ListGroupsRequest(page_token="x"))
