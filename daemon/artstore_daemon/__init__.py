"""Turns watched folders into versions and keeps followed ones at what their alias names.

Will decide when a folder has settled, what is committed and pushed, and when a follower switches. Must know nothing of
packs, indexes or remotes: it asks the store.
This release has no daemon: nothing is here yet.
"""
