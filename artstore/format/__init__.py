"""Bytes and values: how everything that is stored looks, byte for byte. Pure; docs/format.md is its prose.

Encoders are canonical and verify what they made; decoders refuse whatever an encoder would not have written [I7].
"""
