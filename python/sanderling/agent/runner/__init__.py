"""A runner: the process that holds one version of one slot's model, answers inference and watches what it sees.

The agent speaks to it by gRPC on a Unix socket, the router by the Open Inference Protocol on another.
"""
