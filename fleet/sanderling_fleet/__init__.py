"""The fleet server: enrols devices, rolls versions out in stages, judges what devices report, and retrains.

The rules (`selector`, `rollout`, `gates`, `comparison`, `verdict`, `trigger`) take a state and an event and return a
new state and what is to be done. They have no IO and no clock, so the same objects run in the server and under virtual
time.
"""
