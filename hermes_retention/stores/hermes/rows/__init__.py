"""Rows of state.db: reading, removing in short turns, putting back."""
