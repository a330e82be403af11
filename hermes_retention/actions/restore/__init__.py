"""Putting archived sessions back, and writing them elsewhere."""
