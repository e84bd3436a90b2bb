"""The version of artstore, in a module of its own: reading an installed package's metadata takes 10 ms."""

from typing import Final

VERSION: Final = "0.1.0.dev0"
