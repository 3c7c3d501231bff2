"""Keeps tests out of the user's cache of plans: they, and the processes that they start, share one of their own."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Names a new folder in the environment."""
    folder = tempfile.mkdtemp(prefix="sanderling-cache-")
    os.environ["SANDERLING_CACHE"] = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
