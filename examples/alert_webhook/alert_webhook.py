"""A plugin for hermes-retention: alerts are posted to a webhook as JSON.

    pip install examples/alert_webhook
    ALERT_WEBHOOK_URL=https://chat.example/hooks/42 hermes gateway run

``retention_alert`` is called on a thread of hermes-retention, so it may wait for the network, within reason.
An error here costs a warning, nothing else. Alerts hold no text of a conversation.
"""

from __future__ import annotations

import dataclasses
import json
import os
import urllib.request

from hermes_retention.api import Alert, hookimpl

_TIMEOUT_SECONDS = 10


@hookimpl
def retention_alert(alert: Alert) -> None:
    """Post ``alert``, with its line for people as ``text``, which most chat webhooks show."""
    url = os.environ.get("ALERT_WEBHOOK_URL")
    if not url:
        return
    body = json.dumps(dataclasses.asdict(alert)).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - who sets it means it
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310 - the same
        pass
