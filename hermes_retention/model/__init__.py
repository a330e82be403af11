"""Words and plain data: sessions, plans, errors, units. Nothing here decides or touches a disk."""
