"""The router: the process that owns a device's inference port and passes requests to the runner of each slot.

It knows HTTP/1.1 and a table of routes, nothing of models: no NumPy, no gRPC. It outlives the agent, which tells it
by a file where requests go.
"""
