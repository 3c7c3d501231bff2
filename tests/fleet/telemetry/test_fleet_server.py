"""The whole server over the wire: check-ins and MQTT count together, operators see alerts and windows."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import ssl
import time
from types import SimpleNamespace

import pytest
from brokers import WAIT_SECONDS, Client, Mosquitto, needs_mosquitto
from envelopes import SLOT, STUCK, VERSION, envelope, event, metrics, window
from running_fleet import FREE_PORTS, RunningFleet, pem

from sanderling.api.device.v1.device_admin_pb2 import GetDeviceRequest, ListAuditRequest, RevokeDeviceRequest
from sanderling.api.telemetry.v1 import alert_pb2 as pb
from sanderling.api.telemetry.v1 import telemetry_pb2
from sanderling.cli import main
from sanderling.errors import AuthError, InputError
from sanderling_fleet import folders
from sanderling_fleet.broker.topics import up
from sanderling_fleet.client import OperatorClient
from sanderling_fleet.core.operators import Role
from sanderling_fleet.store import MetricsRow, VersionMetrics
from sanderling_fleet.trust.ca import CertificateAuthority

FAULT = telemetry_pb2.DEVICE_VERDICT_SENSOR_FAULT


@pytest.fixture
def embedded(tmp_path):
    pytest.importorskip("iotcore", reason="there is no iotcore for this machine")
    with RunningFleet(tmp_path / "fleet", config=dataclasses.replace(FREE_PORTS, broker="embedded")) as fleet:
        yield fleet


@pytest.fixture
def operator(embedded):
    with client_of(embedded, embedded.admin_token) as client:
        yield client


def client_of(fleet, token):
    return OperatorClient(fleet.server.operator_address, fleet.core.authority.pem.encode(), token)


def find(fleet, kind, **where):
    async def found():
        async with fleet.core.store.transaction() as tx:
            return await tx.find(kind, where)

    return fleet.run(found())


def eventually(condition):
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def committed(device):
    return {item.boot_id: item.sequence for item in device.check_in().telemetry_committed_through}


@needs_mosquitto
def test_a_row_that_comes_by_mqtt_and_by_check_in_counts_once(tmp_path):
    folder = tmp_path / "fleet"
    asyncio.run(folders.create(folder, FREE_PORTS))
    machines = SimpleNamespace(server=folder / "server", authority=CertificateAuthority.load(folder / "server"))
    with Mosquitto(machines) as mosquitto:
        (folder / "broker").symlink_to(mosquitto.folder)
        with RunningFleet(folder, config=dataclasses.replace(FREE_PORTS, broker=mosquitto.url)) as fleet:
            device = fleet.device()
            assert device.enrolled.addresses.broker.url == mosquitto.url
            assert device.enrolled.addresses.broker.password == ""
            (tmp_path / "device.pem").write_text(device.enrolled.certificate_chain)
            (tmp_path / "device.key").write_bytes(pem(device.key))
            context = _context(device.enrolled.ca_certificate, tmp_path / "device.pem", tmp_path / "device.key")
            with mosquitto.client(context) as mqtt:
                for sequence in (1, 2, 5):
                    content = envelope(sequence, metrics(10)).SerializeToString()
                    assert mqtt.publish(up(device.device_id, "metrics"), content) == 0
                device.check_in(telemetry=[envelope(n, metrics(10)) for n in (2, 3, 5)])
                eventually(lambda: len(find(fleet, MetricsRow)) == 4)
                assert committed(device) == {"boot-1": 3}
                assert mqtt.publish(up(device.device_id, "metrics"), envelope(4, metrics(10)).SerializeToString()) == 0
                eventually(lambda: committed(device) == {"boot-1": 5})
                (total,) = find(fleet, VersionMetrics, slot=SLOT, version=VERSION)
                assert (total.rows, total.inferences, total.identity) == (5, 50, "verified")

                fleet.admin().RevokeDevice(RevokeDeviceRequest(device_id=device.device_id, reason="stolen"))
                fleet.run(fleet.server.telemetry.look())
                eventually(lambda: mqtt.publish(up(device.device_id, "metrics"), b"x") == 0x87)
            with mosquitto.client(context) as again:
                assert not again.connected


def test_the_embedded_brokers_password_comes_with_enrolment_and_rows_are_asserted(embedded):
    device = embedded.device()
    address = device.enrolled.addresses.broker
    assert device.check_in().addresses.broker == address
    host, _, port = address.url.removeprefix("mqtt://").partition(":")
    assert host == "127.0.0.1"
    shown = lambda: embedded.admin().GetDevice(GetDeviceRequest(device_id=device.device_id)).device  # noqa: E731
    assert not shown().HasField("online")
    with Client(int(port), login=(address.username, address.password)) as mqtt:
        for online in (True, False):
            mqtt.publish(
                up(device.device_id, "status"), telemetry_pb2.Presence(boot_id="b", online=online).SerializeToString()
            )
            eventually(lambda online=online: shown().HasField("online") and shown().online == online)
        assert shown().online_changed_at.seconds > 0
        mqtt.publish(up(device.device_id, "metrics"), envelope(1).SerializeToString())
        eventually(lambda: find(embedded, MetricsRow))
    device.check_in(telemetry=[envelope(1), envelope(2)])
    assert [row.identity for row in find(embedded, MetricsRow)] == ["asserted", "verified"]
    assert [total.identity for total in find(embedded, VersionMetrics)] == ["asserted", "verified"]


def test_operators_see_and_acknowledge_alerts(embedded, operator):
    device = embedded.device()
    fault = window(1, FAULT, faults=[STUCK])
    device.check_in(telemetry=[envelope(1, fault), envelope(2, event())])
    alerts = operator.call(operator.alerts.ListAlerts, pb.ListAlertsRequest()).alerts
    assert {item.kind for item in alerts} == {"sensor.fault", "device.runner.crash"}
    assert all(list(item.devices) == [device.device_id] for item in alerts)
    fault_id = next(item.alert_id for item in alerts if item.kind == "sensor.fault")
    windows = operator.call(operator.alerts.ListFleetWindows, pb.ListFleetWindowsRequest(slot=SLOT)).windows
    (judged,) = windows
    assert (judged.slot, judged.version, judged.window, judged.reported) == (SLOT, VERSION, 1, 1)
    assert judged.identity == pb.TELEMETRY_IDENTITY_VERIFIED
    assert (list(judged.faulty), judged.HasField("log_evidence")) == ([device.device_id], False)
    assert "stuck x: feature 0 has one value" in next(item.summary for item in alerts if item.alert_id == fault_id)
    assert operator.call(operator.alerts.ListFleetWindows, pb.ListFleetWindowsRequest(slot="other")).windows == []

    with client_of(embedded, embedded.token_of(Role.VIEWER)) as viewer:
        assert len(viewer.call(viewer.alerts.ListAlerts, pb.ListAlertsRequest()).alerts) == 2
        with pytest.raises(AuthError, match="AckAlert is for admin, operator"):
            viewer.call(viewer.alerts.AckAlert, pb.AckAlertRequest(alert_id=fault_id))
    with pytest.raises(InputError, match="sanderling alert ls"):
        operator.call(operator.alerts.AckAlert, pb.AckAlertRequest(alert_id="none"))
    for _ in range(2):
        done = operator.call(operator.alerts.AckAlert, pb.AckAlertRequest(alert_id=fault_id, comment="cleaned")).alert
        assert (done.acknowledged_by, done.HasField("acknowledged_at"), done.comment) == ("admin", True, "cleaned")
    left = operator.call(operator.alerts.ListAlerts, pb.ListAlertsRequest()).alerts
    assert [item.kind for item in left] == ["device.runner.crash"]
    every = operator.call(operator.alerts.ListAlerts, pb.ListAlertsRequest(include_acknowledged=True)).alerts
    assert len(every) == 2
    lines = embedded.admin().ListAudit(ListAuditRequest(page_size=1000)).lines
    assert ("admin", "alert.ack", fault_id, "ok") in [(x.actor, x.action, x.subject, x.outcome) for x in lines]


def test_commands_list_and_acknowledge(embedded, monkeypatch, capsys):
    device = embedded.device()
    device.check_in(telemetry=[envelope(1, event())])
    monkeypatch.chdir(embedded.folder / "operator")
    monkeypatch.setenv("SANDERLING_FLEET_ADDRESS", embedded.server.operator_address)

    def sanderling(*args):
        with pytest.raises(SystemExit) as done:
            main(list(args))
        assert done.value.code == 0
        return capsys.readouterr().out

    (alert,) = json.loads(sanderling("alert", "ls", "-o", "json"))
    assert alert["devices"] == [device.device_id]
    assert device.device_id in sanderling("alert", "ls")
    assert "was acknowledged by admin" in sanderling("alert", "ack", alert["alert_id"])
    assert json.loads(sanderling("alert", "ls", "-o", "json")) == []
    assert "admin" in sanderling("alert", "ls", "--all")


def test_broker_config_writes_a_folder_that_the_server_finds(tmp_path, capsys):
    folder = tmp_path / "fleet"
    asyncio.run(folders.create(folder, FREE_PORTS))
    with pytest.raises(SystemExit) as done:
        main(["fleet", "broker-config", str(folder), "--host", "fleet.example.org", "--port", "18883", "-o", "json"])
    assert done.value.code == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"folder": str(folder / "broker"), "url": "mqtts://fleet.example.org:18883"}
    conf = (folder / "broker" / "mosquitto.conf").read_text()
    for line in ("listener 18883 127.0.0.1", "require_certificate true", "allow_anonymous false"):
        assert line in conf.splitlines()


def _context(ca, *files):
    context = ssl.create_default_context(cadata=ca)
    context.load_cert_chain(*files)
    return context
