"""What all protocols share. Apart from `trust`, whose imports a runner does without."""

PROTOCOL_VERSION = 1
OLDEST_PROTOCOL_VERSION = 1
"""Versions that this release speaks; a server serves agents from the oldest on."""

ERROR_KEY = "sanderling-error"
"""Trailing metadata of a call that failed: the name of the class of `sanderling.errors` that was raised."""
