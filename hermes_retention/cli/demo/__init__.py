"""The demonstration: a leaking home, made up by the program, swept and proved. ``tour`` is the door."""
