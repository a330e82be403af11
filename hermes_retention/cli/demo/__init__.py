"""The home that ``demo`` makes up for itself, leaking as real ones do. ``home`` is the door."""
