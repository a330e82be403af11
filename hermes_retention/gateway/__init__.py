"""What runs inside a gateway: its hooks, the plugin that answers them, and the thread that does the work."""
