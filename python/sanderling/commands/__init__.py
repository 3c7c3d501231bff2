"""The commands of the `sanderling` package, one noun or bare verb a file; cli.py finds them by entry point."""
