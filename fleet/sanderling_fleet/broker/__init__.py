"""Brokers that a fleet uses: a configuration for Mosquitto, and one embedded for demos.

Mosquitto, or any broker with mutual TLS, knows each device by its certificate. The embedded one knows the fleet only.
"""
