"""An opened home: its store, settings, archive, ledger and holds in one piece."""
