"""The plugin for Hermes Agent: what its entry point group ``hermes_agent.plugins`` leads to.

The host imports this in every one of its processes, so it loads next to nothing: see ``registration``. What
must not live here: anything but ``register``.
"""

from hermes_retention.gateway.hermes.registration import register

__all__ = ["register"]
