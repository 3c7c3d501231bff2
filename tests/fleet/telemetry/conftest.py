import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1] / "server"))

from brokers import Machines, Mosquitto, needs_mosquitto
from places import DEVICES, Place

from sanderling_fleet.broker.embedded import EmbeddedBroker


@pytest.fixture(scope="module")
def fleet_machines(tmp_path_factory):
    made = Machines(tmp_path_factory.mktemp("fleet") / "server")
    issued = {name: made.issue(name) for name in DEVICES}
    made.devices = {name: files for name, (_, files) in issued.items()}
    made.serials = {name: serial for name, (serial, _) in issued.items()}
    return made


@pytest.fixture
def on_mosquitto(fleet_machines, tmp_path):
    with Mosquitto(fleet_machines) as mosquitto:
        yield Place(tmp_path, fleet_machines, mosquitto)


@pytest.fixture
def on_embedded(tmp_path):
    pytest.importorskip("iotcore", reason="there is no iotcore for this machine")
    broker = EmbeddedBroker(tmp_path / "broker")
    broker.start()
    yield Place(tmp_path, embedded=broker)
    broker.stop()


@pytest.fixture(params=[pytest.param("mosquitto", marks=needs_mosquitto), "embedded"])
def place(request):
    return request.getfixturevalue(f"on_{request.param}")
