"""The only I/O: files, packs, LMDB. Adapters are strangers to each other."""
