"""The fleet server: who is in the fleet, what runs there, what it saw."""
