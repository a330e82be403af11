"""Names that come from disks and clients, made safe to show.

A file name may hold any byte but ``/`` and NUL, a session id whatever a client sent. Terminals, logs and JSON
get them only through here. What must not live here: parsing of names.
"""

from __future__ import annotations


def printable(name: str) -> str:
    r"""``name`` on one line of valid Unicode: control characters and stray bytes become ``\x..`` escapes."""
    if name.isprintable():
        return name
    return "".join(
        character
        if character.isprintable()
        else f"\\x{ord(character) - 0xDC00:02x}"
        if 0xDC80 <= ord(character) <= 0xDCFF  # a byte that was not UTF-8 (surrogateescape)
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in name
    )
