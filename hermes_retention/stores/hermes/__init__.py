"""A Hermes Agent home, 0.13 and newer, behind the ``Store`` protocol. ``store`` is the door."""
