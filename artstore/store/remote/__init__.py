"""What a store does with its remotes."""
