"""What the plugin does to the host's own session store, on a real one."""

from __future__ import annotations

import json

from hosts import Host

STORE = """
    import os, time
    from datetime import timedelta
    from pathlib import Path
    from types import SimpleNamespace
    from gateway.config import GatewayConfig, Platform
    from gateway.session import SessionSource, SessionStore
    from hermes_retention.gateway.hermes.host import HermesHost

    home = Path(os.environ["HERMES_HOME"])
    def opened():
        store = SessionStore(home / "sessions", GatewayConfig())
        store._ensure_loaded()
        return store
    def chat(name):
        return SessionSource(platform=Platform("telegram"), chat_id=name, user_id=name, chat_type="dm")
    def delivery(number):
        place = f"webhook:push:{number}"
        return SessionSource(platform=Platform("webhook"), chat_id=place, chat_type="webhook")
    store = opened()
    runner = SimpleNamespace(session_store=store, _running_agents={}, adapters={})
    plugin = HermesHost(home, lambda: runner, time.time)
    def age(entry, seconds):
        entry.updated_at -= timedelta(seconds=seconds)
"""


def test_ten_thousand_dead_routes_come_down_to_the_live_ones(host: Host) -> None:
    result = host.python(f"""{STORE}
    import dataclasses, threading
    live = store.get_or_create_session(chat("alice"))
    made = store.get_or_create_session(delivery(0))
    routes = {{}}
    for number in range(10_000):
        key = store._generate_session_key(delivery(number))
        store._entries[key] = dataclasses.replace(made, session_key=key, session_id=f"s{{number}}")
        age(store._entries[key], 3600)
        routes[key] = f"s{{number}}"
    store._save()
    routes[live.session_key] = live.session_id  # judged dead by mistake, but used a moment ago
    done = threading.Event()
    met = []
    def talk():
        while not done.is_set():
            met.append(store.get_or_create_session(chat(f"bob{{len(met)}}")).session_key)
    thread = threading.Thread(target=talk)
    thread.start()
    while not met:
        time.sleep(0.01)
    dropped = plugin.drop_routes(routes)
    done.set()
    thread.join()
    left = set(opened()._entries)
    result = [len(dropped), live.session_key in dropped, left == {{live.session_key, *met}}]
    """)
    assert result == [10_000, False, True]
    index = json.loads((host.sessions / "sessions.json").read_text())
    assert sum(not key.startswith("_") for key in index) < 5_000


def test_delivery_after_its_route_was_dropped_makes_a_new_session(host: Host) -> None:
    result = host.python(f"""{STORE}
    first = store.get_or_create_session(delivery(1))
    store._db.end_session(first.session_id, "webhook_complete")
    age(first, 3600)
    dropped = plugin.drop_routes({{first.session_key: first.session_id}})
    second = store.get_or_create_session(delivery(1))
    result = [dropped == [first.session_key], second.session_id != first.session_id]
    """)
    assert result == [True, True]


def test_routes_that_the_host_has_plans_with_stay(host: Host) -> None:
    result = host.python(f"""{STORE}
    entries = [store.get_or_create_session(delivery(number)) for number in range(5)]
    keys = [entry.session_key for entry in entries]
    store.suspend_session(keys[0])
    store.mark_resume_pending(keys[1])
    runner._running_agents[keys[2]] = object()
    for entry in entries[:4]:
        age(entry, 3600)
    dropped = plugin.drop_routes({{entry.session_key: entry.session_id for entry in entries}})
    result = [keys.index(key) for key in dropped]
    """)
    assert result == [3]


def test_marks_of_interrupted_sessions_are_seen_and_taken_off(host: Host) -> None:
    result = host.python(f"""{STORE}
    entries = {{name: store.get_or_create_session(chat(name)) for name in ("alice", "bob", "carol", "dora")}}
    for name, entry in entries.items():
        if name != "dora":
            store.append_to_transcript(entry.session_id, {{"role": "user", "content": "hello"}})
            store.mark_resume_pending(entry.session_key)
    age(entries["alice"], 3600)
    stamp = time.strftime("%Y%m%d_%H%M%S_000001")
    (home / "sessions" / f"request_dump_{{entries['bob'].session_id}}_{{stamp}}.json").write_text("{{}}")
    store._db.create_session("x", "telegram")
    candidates = plugin.resume_candidates()
    names = {{entry.session_id: name for name, entry in entries.items()}}
    seen = {{names[it.session_id]: [it.ended_in_error, it.readable] for it in candidates}}
    cleared = plugin.clear_resume_marks([entries[name].session_id for name in ("alice", "dora")])
    left = [name for name, entry in entries.items() if opened()._entries[entry.session_key].resume_pending]
    same = store.get_or_create_session(chat("alice")).session_id == entries["alice"].session_id
    result = [seen, [names[it] for it in cleared], sorted(left), same, names[candidates[-1].session_id]]
    """)
    seen, cleared, left, goes_on, oldest = result
    assert seen == {"alice": [False, True], "bob": [True, True], "carol": [False, True]}
    assert (cleared, left, goes_on, oldest) == (["alice"], ["bob", "carol"], True, "alice")


def test_suspended_chat_goes_on_in_a_fresh_session(host: Host) -> None:
    result = host.python(f"""{STORE}
    first = store.get_or_create_session(chat("alice"))
    known = plugin.key_of(first.session_id) == first.session_key
    suspended = plugin.suspend(first.session_id)
    second = store.get_or_create_session(chat("alice"))
    result = [known, suspended, plugin.suspend("nobody"), first.session_id == second.session_id]
    """)
    assert result == [True, True, False, False]
