"""Versions of the protocols. Apart from `trust`, whose imports a runner does without."""

PROTOCOL_VERSION = 1
OLDEST_PROTOCOL_VERSION = 1
"""Versions that this release speaks; a server serves agents from the oldest on."""
