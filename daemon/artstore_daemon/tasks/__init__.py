"""One task for each watch, each remote that a watch pushes to, and each follower: thin loops around the machines."""
