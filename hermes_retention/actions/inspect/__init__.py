"""Looking at a home: status, reasons, search, reports. Nothing here changes a session."""
