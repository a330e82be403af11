"""The log of this package, as a host sees it: one logger, whose lines hold no control characters.

What must not live here: what is logged. Nothing of a conversation ever is.
"""

from __future__ import annotations

import logging

from hermes_retention.model.errors import RetentionError
from hermes_retention.model.text import printable

_SHOWN_AS_IT_IS = (int, float, RetentionError)
"""Numbers keep their format; an error escapes its own text, which may have several lines."""


class _Printable(logging.Filter):
    """Escapes what is put into messages; the messages themselves are ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                argument if isinstance(argument, _SHOWN_AS_IT_IS) else printable(str(argument))
                for argument in record.args
            )
        return True


LOG = logging.getLogger("hermes_retention")
LOG.addFilter(_Printable())
