"""What the fleet server does, as functions over a store, a clock and keys: no gRPC, no threads, no waiting.

`services/` calls these for real devices, simulations call them under virtual time. A function that takes a `Core`
makes transactions of its own; one that takes a `Transaction` belongs to its caller's.
"""
