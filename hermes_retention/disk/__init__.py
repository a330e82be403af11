"""The only package that removes or replaces files.

Every operation is relative to an opened directory and follows no symbolic link. What must not live here:
decisions, archives, databases.
"""
