"""Shows every version as a read-only folder, through FUSE.

Will decide how a path under the mount becomes a version and a file of it, and which answer of the store becomes which
errno. Must know nothing of packs, indexes or remotes: it asks the store.
This release has no mount: nothing is here yet.
"""
