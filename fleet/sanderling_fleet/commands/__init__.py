"""`sanderling fleet|device|model|audit`: click alone at import, the rest when a command runs."""
