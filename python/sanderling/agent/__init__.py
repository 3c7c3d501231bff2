"""What runs on a device: the agent, its router and one runner per model slot, each a process of its own."""
