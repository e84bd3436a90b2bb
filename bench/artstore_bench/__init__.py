"""`artstore bench`: artstore and its peers on seeded corpora, measured in turn in one run.

What is measured and how stands in bench/README.md; each file below `questions/` asks one thing.
"""

from artstore_bench._main import main

__all__ = ["main"]
