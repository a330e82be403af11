"""What a person asks for: settings from four places, checked, and joined into a ``Policy``.

``load`` is the way in, ``fields`` the list of all settings. What must not live here: anything that decides
about a session, and anything that writes.
"""
