"""Rewriting state.db as a whole, while nobody has it open."""
