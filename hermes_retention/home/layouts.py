"""The layouts of homes that are served without a plugin, by the names that ``--store`` takes."""

from __future__ import annotations

STORES = ("auto", "hermes", "openclaw")
"""What ``--store`` always knows. Plugins add to it, so any name is checked only when a home is opened."""
