"""Scan, decide, archive, remove: one sweep from beginning to end."""
