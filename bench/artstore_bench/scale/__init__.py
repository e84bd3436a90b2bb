"""How what artstore keeps of chunks grows with them: its index, its shards, its recipes; made-up ids, no data."""
