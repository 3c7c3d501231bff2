"""Puts this folder on the import path (by standing in it), so that tests can say `from runner import ...`."""
