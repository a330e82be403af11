"""The house keeps its shape: which module may import what, remove files, open databases, know the time.

Everything is read off the source with ``ast``; nothing of the package is imported. Each rule is also shown
sources that break it, so that a rule which can no longer fail is noticed.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

ROOT = "hermes_retention"
PACKAGE = Path(__file__).resolve().parents[2] / ROOT

DESIGN = PACKAGE.parent / "docs" / "design.md"


def rooms_of(design: str) -> tuple[str, ...]:
    """The numbered list in the section "Layers" of the design: folders, and modules at the root."""
    section = design.partition("\n## Layers\n")[2].partition("\n## ")[0]
    return tuple(re.findall(r"^\d+\. `(\w+)/?`:", section, re.MULTILINE))


LAYERS = rooms_of(DESIGN.read_text("utf-8"))
"""The rooms of the house, lowest first. Each imports only from itself and from those before it."""

FACES = ("cli", "gateway.hermes")
"""Packages that somebody outside looks up by name (the console script, the host's entry point)."""

PORT = "disk.effects"
"""The only module that names what changes disks and databases; it calls nothing of it."""
BESIDE_THE_PORT = (
    "cli.demo",  # makes up a home of its own
    "testing",  # fills homes of its own, below a temporary directory
    "cli.main",  # opens the null device in the place of closed outputs
    "settings.load",  # these three only read
    "stores.files",
    "stores.hermes.processes",
)

ADAPTERS = ("stores.hermes", "stores.openclaw")
"""What stands behind the port ``stores.base``: one layout each, which knows no other one."""
BEHIND_THE_PORT: dict[str, tuple[str, ...]] = {
    "home.open": ADAPTERS,  # makes the stores, and says which layout a home has
    "gateway.hermes": ("stores.hermes",),  # ties the gateway to that very host
    "cli.demo": ("stores.hermes",),  # makes up a home of that host
}

REMOVERS = ("disk",)
"""The only modules that remove or rename a file."""

HOST_DATABASE = "state.db"
HOST_DATABASE_OPENERS = (
    "stores.hermes.state_db",
    "stores.hermes.compaction",  # a maintenance of the file as a whole, offline
    "cli.demo",  # writes the one in the home that it makes up
)
OWN_DATABASE_OPENERS = ("archive", "home.ledger", PORT)

PURE = ("policy",)
IMPURE_MODULES = frozenset(
    {"asyncio", "glob", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "shutil"}
    | {"socket", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "uuid"}
)
IMPURE_FUNCTIONS = frozenset({"breakpoint", "input", "open", "print"})
CLOCKS = frozenset(
    f"datetime.{kind}.{clock}" for kind in ("date", "datetime") for clock in ("now", "today", "utcnow")
)

_REMOVING = ("remove", "removedirs", "rename", "renames", "replace", "rmdir", "unlink")
REMOVING_FUNCTIONS = frozenset(
    {f"{module}.{name}" for module in ("os", "hermes_retention.disk.effects") for name in _REMOVING}
    | {f"shutil.{name}" for name in ("move", "rmtree")}
)
_CHANGING = (
    *("open", "write", "fsync", "fdatasync", "link", "symlink", "mkdir", "makedirs", "truncate", "ftruncate"),
    *("chmod", "fchmod", "chown", "fchown", "utime", "mkfifo", *_REMOVING),
)
CHANGING_FUNCTIONS = frozenset({"sqlite3.connect", *(f"os.{name}" for name in _CHANGING)})
CHANGING_METHODS = frozenset(
    {"write_bytes", "write_text", "touch", "mkdir", "chmod", "symlink_to", "hardlink_to"}
)
CONNECTS = frozenset({"sqlite3.connect", f"{ROOT}.{PORT}.connect"})
REMOVING_METHODS = {"rename": 1, "replace": 1, "rmdir": 0, "unlink": 0}
"""Methods of ``Path`` with the number of arguments: ``str.replace`` takes two, ``disk`` has its own."""


@dataclasses.dataclass(frozen=True, slots=True)
class Module:
    """A source file, parsed. ``name`` is without the root package, which itself is ``""``."""

    name: str
    tree: ast.Module
    is_package: bool = False

    def within(self, names: tuple[str, ...]) -> bool:
        """Whether this is one of ``names`` or lies in one of them."""
        return any(_within(self.name, name) for name in names)

    def imports(self) -> Iterator[tuple[int, str, str]]:
        """Line, full name and local name of all that is imported, also in functions and for types only."""
        for node in ast.walk(self.tree):
            match node:
                case ast.Import(names=names):
                    yield from ((node.lineno, it.name, it.asname or it.name) for it in names)
                case ast.ImportFrom(names=names):
                    base = self._base(node)
                    yield from ((node.lineno, f"{base}.{it.name}", it.asname or it.name) for it in names)
                case ast.Call(
                    func=ast.Name("import_module" | "__import__") | ast.Attribute(attr="import_module"),
                    args=[ast.Constant(str(name)), *_],
                ):
                    yield node.lineno, name, ""

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        own = [ROOT, *self.name.split(".")] if self.name else [ROOT]
        parents = own[: len(own) + self.is_package - node.level]
        return ".".join([*parents, node.module] if node.module else parents)

    def uses(self) -> Iterator[tuple[ast.Name | ast.Attribute, str]]:
        """Every name that is read, spelt out: ``os.unlink`` also after ``from os import unlink as away``."""
        bound = {local: full for _, full, local in self.imports()}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name | ast.Attribute):
                yield node, _spelt_out(node, bound)

    def calls(self) -> dict[ast.expr, ast.Call]:
        """What is called → the call."""
        return {node.func: node for node in ast.walk(self.tree) if isinstance(node, ast.Call)}

    def texts(self) -> Iterator[ast.Constant]:
        """String literals, also parts of f-strings, but not docstrings."""
        docstrings = {node.value for node in ast.walk(self.tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
                yield node


def _spelt_out(node: ast.expr, bound: dict[str, str]) -> str:
    match node:
        case ast.Name(name):
            return bound.get(name, name)
        case ast.Attribute(value, attr):
            return f"{_spelt_out(value, bound)}.{attr}"
        case _:
            return "?"


def _within(module: str, name: str) -> bool:
    return module == name or module.startswith(f"{name}.")


def level_of(module: str) -> int | None:
    """The layer of a module: where the first part of its name stands in the list. The root is below all."""
    if not module:
        return -1
    room = module.partition(".")[0]
    return LAYERS.index(room) if room in LAYERS else None


# The rules

Complaints: TypeAlias = Iterator[tuple[int, str]]
"""Line and what is wrong there."""
Rule: TypeAlias = Callable[[Module], Complaints]


def nothing_reaches_behind_the_port(module: Module) -> Complaints:
    """Whoever uses a store uses any store: what a layout has more is an answer of ``Store``."""
    if module.within(("stores",)):
        own = next((name for name in ADAPTERS if module.within((name,))), None)
        others = tuple(name for name in ADAPTERS if name != own)
    else:
        allowed = {it for room, known in BEHIND_THE_PORT.items() if module.within((room,)) for it in known}
        others = tuple(name for name in ADAPTERS if name not in allowed)
        yield from _asking_which_store(module)
    for line, name, _ in module.imports():
        root, _, target = name.partition(".")
        if root == ROOT and any(_within(target, other) for other in others):
            yield line, f"imports {name}, which stands behind stores.base"


def _asking_which_store(module: Module) -> Complaints:
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=ast.Name("isinstance"), args=[asked, _]) if _is_store(asked):
                yield (
                    node.lineno,
                    "asks a store what it is: give Store a method with an answer for all others",
                )
            case ast.Compare(ops=[ast.Eq() | ast.NotEq() | ast.Is() | ast.IsNot() | ast.In() | ast.NotIn()]):
                sides = (node.left, *node.comparators)
                named = any(
                    isinstance(it, ast.Attribute) and it.attr == "name" and _is_store(it.value)
                    for it in sides
                )
                literal = any(isinstance(it, ast.Constant | ast.Set | ast.Tuple) for it in sides)
                if named and literal:
                    yield (
                        node.lineno,
                        "asks a store for its name: give Store a method with an answer for all others",
                    )


def _is_store(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id == "store") or (
        isinstance(node, ast.Attribute) and node.attr == "store"
    )


def every_module_has_a_layer(module: Module) -> Complaints:
    """A new module has to say where it belongs."""
    if level_of(module.name) is None:
        yield 1, f"{module.name} is in no layer: give it a line in the section Layers of docs/design.md"


def a_layer_imports_nothing_higher(module: Module) -> Complaints:
    """Neither at the top, nor in a function, nor for types only."""
    own = level_of(module.name)
    for line, name, _ in module.imports():
        root, _, target = name.partition(".")
        if root != ROOT or own is None:
            continue
        level = level_of(target)
        if (
            level is None and "." not in target
        ):  # what is imported is not a module, then, but something at the root
            level = level_of("")
        if level is None:
            yield line, f"imports {name}, which is in no layer"
        elif level > own:
            yield line, f"layer {own} imports {name} of layer {level}"


def a_package_itself_holds_nothing(module: Module) -> Complaints:
    """Whoever imports a module runs its packages' code too; so these hold a docstring and no code.

    At the root there is ``__getattr__`` for the version: it runs only when somebody asks.
    """
    if not module.is_package or module.name in FACES:
        return
    for node in module.tree.body:
        match node:
            case ast.Expr(ast.Constant(str())) | ast.ImportFrom("__future__"):
                pass
            case ast.FunctionDef("__getattr__") if not module.name:
                pass
            case _:
                yield node.lineno, "a package's __init__ holds only a docstring"


def only_disk_removes_files(module: Module) -> Complaints:
    """One place to read, one place to make safe."""
    if module.within(REMOVERS):
        return
    calls = module.calls()
    for node, name in module.uses():
        if name in REMOVING_FUNCTIONS:
            yield node.lineno, f"{name}: files are removed and renamed in disk/ only"
        elif isinstance(node, ast.Attribute) and _is_path_method(node.attr, name, calls.get(node)):
            yield node.lineno, f"{node.attr}() of a path: files are removed and renamed in disk/ only"


def _is_path_method(method: str, name: str, call: ast.Call | None) -> bool:
    if method not in REMOVING_METHODS or name.startswith(f"{ROOT}."):
        return False
    if name.startswith("pathlib.Path."):
        return True
    if call is None:  # handed on, to be called later
        return method != "replace"
    flags = sum(isinstance(it, ast.Constant) and isinstance(it.value, bool) for it in call.args)
    keywords = {it.arg for it in call.keywords}
    targets = len(call.args) - flags + ("target" in keywords)
    return targets == REMOVING_METHODS[method] and keywords <= {"target", "missing_ok"}


def only_state_db_opens_a_host_database(module: Module) -> Complaints:
    """One place that knows how long a lock may be held, and how schemas differ."""
    if module.within(HOST_DATABASE_OPENERS):
        return
    opens_its_own = module.within(OWN_DATABASE_OPENERS)
    calls = module.calls()
    for node, name in module.uses():
        connects = name in CONNECTS or (name == "sqlite3.Connection" and node in calls)
        if connects and not opens_its_own:
            allowed = ", ".join(HOST_DATABASE_OPENERS + OWN_DATABASE_OPENERS)
            yield node.lineno, f"{name}: databases are opened only in {allowed}"
    for text in module.texts():
        if opens_its_own and HOST_DATABASE in str(text.value):
            yield text.lineno, f"{HOST_DATABASE} is the host's, not ours"
        if str(text.value).lstrip().upper().startswith("ATTACH "):
            yield text.lineno, "ATTACH opens a database out of this test's sight"


def effects_go_through_the_port(module: Module) -> Complaints:
    """One place at which a test can count them, and let each of them fail."""
    if module.within((PORT, *BESIDE_THE_PORT)):
        return
    for node, name in module.uses():
        if name in CHANGING_FUNCTIONS:
            yield node.lineno, f"{name}: call it by its name in {PORT}, where tests can let it fail"
        elif isinstance(node, ast.Attribute) and node.attr in CHANGING_METHODS and ROOT not in name:
            yield node.lineno, f"{node.attr}() of a path: call the function in {PORT}"


def policy_knows_no_clock_and_no_disk(module: Module) -> Complaints:
    """A decision depends on the inventory, the policy and the time it is given, on nothing else."""
    if not module.within(PURE):
        return
    for line, name, _ in module.imports():
        if name.partition(".")[0] in IMPURE_MODULES:
            yield line, f"imports {name}: policy/ is pure"
    calls = module.calls()
    for node, name in module.uses():
        if name in CLOCKS or (name in IMPURE_FUNCTIONS and node in calls):
            yield node.lineno, f"uses {name}: policy/ is pure"


RULES: tuple[Rule, ...] = (
    every_module_has_a_layer,
    a_layer_imports_nothing_higher,
    nothing_reaches_behind_the_port,
    a_package_itself_holds_nothing,
    only_disk_removes_files,
    effects_go_through_the_port,
    only_state_db_opens_a_host_database,
    policy_knows_no_clock_and_no_disk,
)


# The house as it stands


def house() -> Iterator[tuple[str, Module]]:
    """Every source file of the package, with its path."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        yield str(path), Module(name, ast.parse(path.read_bytes(), str(path)), is_package)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_house_keeps_the_rule(rule: Rule) -> None:
    complaints = [f"{path}:{line}: {what}" for path, module in house() for line, what in rule(module)]
    assert not complaints, "\n".join([f"{rule.__doc__}", *complaints])


def test_design_lists_every_room_that_there_is_and_no_other() -> None:
    rooms = {module.name.partition(".")[0] for _, module in house()} - {""}
    assert sorted(LAYERS) == sorted(rooms)


def test_list_of_the_design_is_read_in_order_and_to_its_end() -> None:
    before, after = "# D\n1. `no/`: here.\n", "\n## More\n3. `no`: x.\n"
    design = f"{before}## Layers\nText.\n1. `b/`: one\n   line.\n2. `a`: two.\n{after}"
    assert rooms_of(design) == ("b", "a")


def test_whole_house_is_read() -> None:
    names = {module.name for _, module in house()}
    assert {"", "model.errors", "policy.decide", "stores.hermes.state_db", "disk.writing"} <= names


# Sources that break a rule, and their harmless look-alikes

BAD: dict[Rule, tuple[tuple[str, str], ...]] = {
    every_module_has_a_layer: (
        ("helpers", ""),
        ("storage.elsewhere", ""),
        ("errors_more", ""),
    ),
    a_layer_imports_nothing_higher: (
        ("model.errors", "import hermes_retention.cli"),
        ("policy.decide", "from hermes_retention.disk import unlink"),
        ("policy.decide", "from hermes_retention import settings"),
        ("model.session", "from hermes_retention.stores import base"),
        ("policy.decide", "from ..actions import sweep"),
        ("stores.hermes.files", "from ...actions.sweep.execute import execute"),
        ("actions.sweep.execute", "def f():\n    from hermes_retention.gateway import worker"),
        ("actions.sweep.execute", "if TYPE_CHECKING:\n    import hermes_retention.cli.output"),
        ("plugins", "import hermes_retention.gateway.worker"),
        ("plugins", "importlib.import_module('hermes_retention.cli')"),
        ("actions.sweep.sweep", "from hermes_retention.helpers import help_me"),
    ),
    nothing_reaches_behind_the_port: (
        ("actions.inspect.simulate", "from hermes_retention.stores.hermes.files import cron_job"),
        ("actions.upkeep.compact", "from hermes_retention.stores.hermes import compact"),
        ("home.ledger_caps", "def f():\n    from hermes_retention.stores.hermes.counts import HermesCounter"),
        ("cli.commands.prestart", "if TYPE_CHECKING:\n    import hermes_retention.stores.openclaw.store"),
        ("gateway.hermes.chat", "from hermes_retention.stores.openclaw.store import OpenClawStore"),
        ("stores.base", "from hermes_retention.stores.hermes.store import HermesStore"),
        ("stores.openclaw.entries", "from hermes_retention.stores.hermes.files import safe_name"),
        ("actions.upkeep.forget", "if isinstance(home.store, Erasable): home.store.wipe()"),
        ("cli.context", "isinstance(store, HermesStore)"),
        ("actions.upkeep.compact", "if home.store.name != 'hermes': refuse()"),
        ("cli.commands.prestart", "store.name in ('openclaw', 'clawdbot')"),
    ),
    a_package_itself_holds_nothing: (
        ("gateway", "from hermes_retention.gateway.plugin import Plugin"),
        ("", "import os"),
        ("", "__version__ = metadata.version('hermes-retention')"),
        ("policy", "def decide(): ..."),
        ("policy", "def __getattr__(name): ..."),
    ),
    only_disk_removes_files: (
        ("actions.sweep.execute", "import os\nos.unlink(name, dir_fd=3)"),
        ("actions.sweep.execute", "import os as system\nsystem.replace(a, b)"),
        ("actions.sweep.execute", "from os import remove as away\naway(name)"),
        ("actions.sweep.execute", "import os\nstack.callback(os.rmdir, name)"),
        ("archive.vault", "import shutil\nshutil.rmtree(path)"),
        ("cli.demo", "from shutil import move\nmove(a, b)"),
        ("home.ledger", "path.unlink()"),
        ("home.ledger", "(home / 'x').unlink(missing_ok=True)"),
        ("home.ledger", "path.unlink(True)"),
        ("stores.hermes.files", "import os\nfor entry in os.scandir(): os.remove(entry)"),
        ("home.ledger", "path.with_suffix('.new').replace(path)"),
        ("home.ledger", "path.rename(target=other)"),
        ("home.ledger", "stack.callback(path.unlink)"),
        ("home.ledger", "from pathlib import Path\nmap(Path.replace, old, new)"),
        ("home.ledger", "from pathlib import Path\nPath.unlink(path)"),
    ),
    effects_go_through_the_port: (
        ("disk.writing", "import os\nos.unlink(name, dir_fd=3)"),
        ("disk.writing", "from os import fsync\nfsync(3)"),
        ("home.ledger", "import sqlite3\nsqlite3.connect(path)"),
        ("home.workspace", "path.write_bytes(content)"),
        ("home.workspace", "later(path.mkdir)"),
    ),
    only_state_db_opens_a_host_database: (
        ("actions.sweep.sweep", "from hermes_retention.disk import effects\neffects.connect(path)"),
        ("actions.sweep.sweep", "import sqlite3\nsqlite3.connect(path)"),
        ("stores.hermes.files", "from sqlite3 import connect\nconnect(path)"),
        ("gateway.worker", "import sqlite3 as s\nopener = s.connect"),
        ("actions.inspect.status", "import sqlite3\nsqlite3.Connection(path)"),
        ("home.ledger", "connect(home / 'state.db')"),
        ("archive.vault", "connect(f'{home}/state.db?mode=ro')"),
        ("home.ledger", "db.execute('attach database ? as host')"),
    ),
    policy_knows_no_clock_and_no_disk: (
        ("policy.decide", "import time"),
        ("policy.liveness", "import os.path"),
        ("policy.budget", "def f():\n    from pathlib import Path"),
        ("policy", "import logging"),
        ("policy.decide", "from datetime import datetime\ndatetime.now(tz)"),
        ("policy.decide", "import datetime as dt\nclock = dt.datetime.utcnow"),
        ("policy.decide", "print(plan)"),
    ),
}
PACKAGES = {"", "gateway", "policy"}

GOOD: tuple[tuple[str, str], ...] = (
    ("home.open", "from hermes_retention.stores.openclaw.store import OpenClawStore"),
    ("gateway.hermes.host", "from hermes_retention.stores.hermes.files import list_directory"),
    ("actions.sweep.sweep", "if notes.fact(STORE) != home.store.name: remember(home.store.name)"),
    ("plugins", "from hermes_retention import hookspecs"),
    ("actions.sweep.execute", "from hermes_retention import __version__"),
    ("policy.decide", "from hermes_retention.policy.liveness import assess"),
    ("stores.hermes.files", "from ..base import Store\nfrom . import routing"),
    ("policy.decide", "from datetime import datetime, timedelta\ncontext.now + timedelta(seconds=1)"),
    ("policy.decide", "session.open + report.print"),
    (
        "actions.sweep.execute",
        "from hermes_retention.disk import writing\nwriting.unlink(directory, name)\nlater(writing.unlink)",
    ),
    ("actions.sweep.execute", "directory.unlink(name)\ndirectory.rename(old, new)"),
    (
        "actions.sweep.execute",
        "text.replace('a', 'b')\ncopy.replace(step, reason='')\nmoment.replace(tzinfo=UTC)",
    ),
    ("actions.sweep.execute", "names.remove(name)"),
    ("disk.writing", "from hermes_retention.disk import effects\neffects.unlink(name, dir_fd=3)"),
    ("disk.effects", "import os\nunlink = os.unlink"),
    ("actions.inspect.status", "import sqlite3\ndef rows(db: sqlite3.Connection): ...\nshow('state.db')"),
    (
        "home.ledger",
        "'''Never the host's state.db.'''\nfrom hermes_retention.disk import effects\neffects.connect(path)",
    ),
    ("stores.hermes.state_db", "from hermes_retention.disk import effects\neffects.connect('state.db')"),
)


def parse(name: str, source: str) -> Module:
    return Module(name, ast.parse(source), is_package=name in PACKAGES)


@pytest.mark.parametrize(
    ("rule", "name", "source"), [(rule, *case) for rule, cases in BAD.items() for case in cases]
)
def test_rule_complains_about(rule: Rule, name: str, source: str) -> None:
    assert list(rule(parse(name, source)))


def test_every_rule_is_shown_to_fail() -> None:
    assert set(BAD) == set(RULES)


@pytest.mark.parametrize(("name", "source"), GOOD)
def test_no_rule_complains_about(name: str, source: str) -> None:
    assert [what for rule in RULES for _, what in rule(parse(name, source))] == []
