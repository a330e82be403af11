"""Forgetting: which sessions are meant, and removing all that is kept of them."""
