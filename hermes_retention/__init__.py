"""hermes-retention keeps the session storage of AI-agent gateways bounded, and loses nothing.

Nothing is imported here on purpose: a gateway imports this package in every one of its processes.
"""


def __getattr__(name: str) -> str:
    """``__version__``: what was installed. Looked up when it is asked for, since that reads a file."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import metadata

    try:
        return metadata.version("hermes-retention")
    except metadata.PackageNotFoundError:  # run from the sources, without having been installed
        return "0+unknown"
