"""Property tests run the same examples every time and without a clock: a slow machine must not fail them."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("sanderling", deadline=None, derandomize=True, database=None)
settings.load_profile("sanderling")
