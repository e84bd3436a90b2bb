"""Versions back into folders: what lies there is compared first, then files are written aside and renamed.

survey (what lies there already) → producer (walks the tree, makes folders) → batches → workers (fetch, check, write).
"""

from artstore.store.checkout.service import CheckoutResult, checkout

__all__ = ["CheckoutResult", "checkout"]
