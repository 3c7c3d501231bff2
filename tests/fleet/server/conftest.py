import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running_fleet import RunningFleet

from sanderling_fleet.trust.release import ReleaseFolder


@pytest.fixture
def fleet(tmp_path):
    with RunningFleet(tmp_path / "fleet") as running:
        yield running


@pytest.fixture
def release(fleet):
    return ReleaseFolder(fleet.folder / "release")
