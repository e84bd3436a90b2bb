"""What the daemon costs while nothing happens, and how soon what was saved is a version at a remote."""
