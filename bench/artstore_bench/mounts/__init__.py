"""Mounts side by side: how a server is started, watched and ended, and how its files are read.

What is asked stands in `questions/mount.py`, who is asked in `peers/`.
"""
