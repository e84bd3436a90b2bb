"""Replication, measured: the tools, each with a bucket of its own, in turn, on one service."""
