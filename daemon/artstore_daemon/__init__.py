"""Turns watched folders into versions, pushes them, and keeps followed aliases at what they name.

`machine` decides, as pure functions; `tasks` run the machines in trio; `engine` and `follower` do what was decided,
with the store, on threads; `watch` hears of changes; `daemon` puts the tasks together, `api` answers for it, `service`
is the process. Must know nothing of packs, indexes or remotes: it asks the store.
"""
