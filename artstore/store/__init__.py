"""The service over the ports: write, read, refs, collect, check."""
