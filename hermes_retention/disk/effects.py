"""The port to disk and databases: every call that changes something there, by name.

These are the system's own functions and cost nothing. Whoever wants to know what happens in which order, or
what follows when one of them fails, puts another in its place here: the tests do, production never does. What
must not live here: anything that calls them. Files are removed and renamed in ``disk`` only.
"""

from __future__ import annotations

import os
import sqlite3

open_file = os.open
"""Also for reading: what cannot be opened is an effect that failed."""
read = os.read
write = os.write
"""May write less than it was given; ``disk.directories.write_all`` writes all."""
fsync = os.fsync
mkdir = os.mkdir
makedirs = os.makedirs
link = os.link
rename = os.rename
unlink = os.unlink
chmod = os.chmod
fchmod = os.fchmod
fchown = os.fchown
utime = os.utime
connect = sqlite3.connect
"""Databases change through ``execute``, ``executemany`` and ``executescript`` of what this gives."""
