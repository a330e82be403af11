"""How large the house is: modules, lines, imports, circles, and how many modules one command runs through.

    python benchmarks/house.py
    python benchmarks/house.py --run -- --home HOME sweep --yes

Everything but ``--run`` is read off the source. ``tests/unit/test_house.py`` holds the bounds.
"""

from __future__ import annotations

import argparse
import ast
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

PACKAGE = Path(__file__).resolve().parents[1] / "hermes_retention"


@dataclass(frozen=True, slots=True)
class Module:
    """A source file, and which others of the package it imports, also for types only."""

    name: str
    lines: int
    imports: frozenset[str]
    imports_for_types: frozenset[str]
    """Those under ``if TYPE_CHECKING``, which are no imports when the program runs."""


@dataclass(frozen=True, slots=True)
class House:
    """The package as a whole."""

    modules: tuple[Module, ...]

    @property
    def at_the_root(self) -> list[str]:
        """The modules that lie in no folder."""
        return [module.name for module in self.modules if "." not in module.name]

    @property
    def lines(self) -> int:
        """Of all modules, with comments and blank lines."""
        return sum(module.lines for module in self.modules)

    @property
    def imports_per_module(self) -> float:
        """How many others a module names, on average, also for types only."""
        named = sum(len(module.imports | module.imports_for_types) for module in self.modules)
        return named / len(self.modules)

    @property
    def circles(self) -> list[list[str]]:
        """Modules that import each other when the program runs, over however many others."""
        return circles({module.name: module.imports for module in self.modules})


def measure(package: Path = PACKAGE) -> House:
    """Read every module of ``package``; nothing of it is imported."""
    paths = {_name_of(path, package): path for path in sorted(package.rglob("*.py"))}
    return House(tuple(_module(name, path, package.name, set(paths)) for name, path in paths.items()))


def _name_of(path: Path, package: Path) -> str:
    """``policy.decide``; a folder itself is ``policy.__init__``."""
    return ".".join(path.relative_to(package).with_suffix("").parts)


def _module(name: str, path: Path, root: str, known: set[str]) -> Module:
    source = path.read_text("utf-8")
    tree = ast.parse(source)
    hidden = {
        id(node)
        for guard in ast.walk(tree)
        if isinstance(guard, ast.If) and "TYPE_CHECKING" in ast.unparse(guard.test)
        for node in ast.walk(guard)
    }
    when_running: set[str] = set()
    for_types: set[str] = set()
    for node in ast.walk(tree):
        found = {_meant(target, root, known) for target in _targets(node)} - {name, None}
        (for_types if id(node) in hidden else when_running).update(filter(None, found))
    return Module(name, source.count("\n"), frozenset(when_running), frozenset(for_types))


def _targets(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.ImportFrom(module=str(base), names=names, level=0):
            yield from (f"{base}.{alias.name}" for alias in names)
        case ast.Import(names=names):
            yield from (alias.name for alias in names)


def _meant(target: str, root: str, known: set[str]) -> str | None:
    """The module in which ``target`` is: what is imported may be a name of it."""
    parts = target.split(".")
    if parts[0] != root:
        return None
    for end in range(len(parts), 0, -1):
        name = ".".join(parts[1:end])
        for module in (name, f"{name}.__init__".lstrip(".")):
            if module in known:
                return module
    return None


def circles(imports: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The groups in which each module reaches every other one (Tarjan's algorithm)."""
    order: dict[str, int] = {}
    earliest: dict[str, int] = {}
    waiting: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = earliest[module] = len(order)
        waiting.append(module)
        for other in sorted(imports.get(module, ())):
            if other not in order:
                visit(other)
            if other in waiting:  # not in a group yet, so there is a way from it to here
                earliest[module] = min(earliest[module], earliest[other])
        if earliest[module] == order[module]:  # nothing before it is reached: the group is complete
            start = waiting.index(module)
            group = waiting[start:]
            del waiting[start:]
            if len(group) > 1:
                found.append(sorted(group))

    for module in sorted(imports):
        if module not in order:
            visit(module)
    return found


@dataclass(frozen=True, slots=True)
class Walk:
    """What one command ran through: modules and functions, and pairs of modules that call each other."""

    modules: frozenset[str]
    functions: int
    pairs: int


@contextmanager
def watching(package: Path = PACKAGE) -> Iterator[list[Walk]]:
    """Note every function of ``package`` that is called within the block, on any thread.

    The list holds the one ``Walk`` afterwards. What runs while a module is imported does not count.
    """
    prefix = f"{package}/"
    seen: set[tuple[str, str]] = set()
    pairs: set[tuple[str, str]] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(prefix) or code.co_name == "<module>":
            return
        seen.add((code.co_filename, code.co_qualname))
        caller = frame.f_back
        if caller is not None and caller.f_code.co_filename.startswith(prefix):
            pairs.add((caller.f_code.co_filename, code.co_filename))

    walks: list[Walk] = []
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield walks
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        modules = frozenset(_name_of(Path(file), package) for file, _ in seen)
        walks.append(Walk(modules, len(seen), sum(one != other for one, other in pairs)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; with ``--run``, run a command too and say what it ran through."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--run", action="store_true", help="run hermes-retention with what follows --")
    parser.add_argument("command", nargs="*", help="arguments of hermes-retention")
    asked = parser.parse_args(arguments)
    house = measure()
    print(f"modules            {len(house.modules)}")
    print(f"at the root        {len(house.at_the_root)}")
    print(f"lines              {house.lines}")
    print(f"imports per module {house.imports_per_module:.1f}")
    print(f"circles            {len(house.circles)}")
    for circle in house.circles:
        print(f"    {' '.join(circle)}")
    if not asked.run:
        return 0
    sys.path.insert(0, str(PACKAGE.parent))
    from hermes_retention.cli import main as run_command

    with watching() as walks:
        code = run_command(asked.command)
    (walk,) = walks
    print(f"ran through        {len(walk.modules)} modules, {walk.functions} functions")
    print(f"pairs of modules   {walk.pairs}")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
