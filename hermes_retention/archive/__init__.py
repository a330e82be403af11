"""The vault: where archived sessions live, one SQLite file per month of last activity."""
