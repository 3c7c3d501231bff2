"""Stand-ins for other runtimes, so that a program moves to Sanderling by one import."""
