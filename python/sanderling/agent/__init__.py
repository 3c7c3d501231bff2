"""The device agent: keeps the device's models as the fleet wants them, on trial and taken back where they disappoint.

Rules are pure (`rules`, `slot`, `probation`, `confidence`), one `driver` runs them over `ports`; everything else is one
of the ports. Imports no NumPy: models run in runner processes of their own.
"""
