import pytest
from tests.agent.fleet import Fleet

from sanderling.agent.enrolment import enroll
from sanderling.agent.transport import FleetClient
from sanderling.api.device.v1 import enrolment_pb2


@pytest.fixture
def fleet():
    server = Fleet().start()
    yield server
    server.stop()


@pytest.fixture
def identity(fleet, tmp_path):
    return enroll(fleet.token(), tmp_path / "identity", enrolment_pb2.DeviceFacts())[0]


@pytest.fixture
def client(identity):
    return FleetClient(lambda: identity)
