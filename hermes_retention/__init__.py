"""hermes-retention keeps the session storage of AI-agent gateways bounded, and loses nothing.

Nothing is imported here on purpose: a gateway imports this package in every one of its processes.
"""

__version__ = "0.1.0"
