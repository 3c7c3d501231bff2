import pytest
from tests.fleet.retrain.retraining_fleet import RetrainingFleet

from sanderling_fleet.trust.release import ReleaseFolder


@pytest.fixture
def fleet(tmp_path):
    with RetrainingFleet(tmp_path / "fleet") as running:
        yield running


@pytest.fixture
def release(fleet):
    return ReleaseFolder(fleet.folder / "release")
