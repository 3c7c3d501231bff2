"""Device profiles: what kinds of machines the agent is tried on, one TOML file each."""
