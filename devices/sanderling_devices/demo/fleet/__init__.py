"""The fleet demo: a server, twelve devices and their sensors as real processes, from enrolment to a revert."""
