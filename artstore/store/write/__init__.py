"""How a folder becomes packs and a tree: scan → read and cut → hash, look up, encode → append → assemble.

One thread scans, reads and cuts; as many as there are cores hash, look up and encode batches; one appends to packs and
builds pages, in order; one makes packs durable and names them in the index [I1, I2].
"""
