"""Who may say what: the fleet's CA, its TUF repository, the director, and the release folder off the server."""
