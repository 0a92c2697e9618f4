"""The rules of the house, read from the source: which room may import which, what is heavy, how big things get."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TypeGuard

import pytest

PACKAGE = Path(__file__).parent.parent / "gathering"

# core <- {llm, tools, storage} <- agents <- compare <- testing <- {notebook, web}
FLOOR = {
    "core": 0,
    "llm": 1,
    "tools": 1,
    "storage": 1,
    "agents": 2,
    "compare": 3,
    "testing": 4,
    "notebook": 5,
    "web": 5,
}
ONLY_IN = {
    "IPython": {"notebook"},
    "ipywidgets": {"notebook"},
    "anywidget": {"notebook"},
    "traitlets": {"notebook"},
    "tornado": {"web"},
    "jupyter_server": {"web"},
    "sqlalchemy": {"storage", "tools"},  # in tools: the modules about databases
    "sqlite3": {"storage", "tools"},
    "psycopg": {"storage", "tools"},
    "sqlglot": {"tools"},
    "mcp": {"tools"},
    "httpx": {"llm", "tools"},
    "httptools": {"llm"},
    "xllamacpp": {"llm"},
    "pydantic_monty": {"tools"},
    "opentelemetry": {"storage"},
    "onnxruntime": {"llm"},
    "tokenizers": {"llm"},
    "genai_prices": {"llm"},
    "py3langid": {"testing"},
    "pytest": {"testing"},
}
NOWHERE = {
    "openai",
    "anthropic",
    "google",
    "mistralai",
    "ollama",
    "requests",
}  # no SDK is needed; httpx speaks HTTP
#: Of Google, but no SDK: where a Colab notebook keeps its secrets.
COLAB = "google.colab.userdata"
LAZY = {
    "pandas",
    "sqlalchemy",
    "scipy",
    "tornado",
    "yaml",
    "xllamacpp",
    "onnxruntime",
    "tokenizers",
    "numpy",
    "genai_prices",
    "keyring",
    "opentelemetry",
    "mcp",
    "psycopg",
    "py3langid",
    "pydantic_monty",
    "sqlglot",
}
NOT_LOADED = (
    "pandas",
    "IPython",
    "ipywidgets",
    "anywidget",
    "sqlalchemy",
    "scipy",
    "tornado",
    "httptools",
    "yaml",
    "pydantic",
    "genai_prices",
    "opentelemetry",
)
MODULE_LINES, FUNCTION_LINES = 600, 60


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module: who imports it, in which line, when."""

    source: str
    target: str
    line: int
    at_load: bool
    for_types: bool

    @property
    def where(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


def module_name(path: Path) -> str:
    parts = ("gathering", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def trees() -> dict[str, ast.Module]:
    """Every module of the package, parsed."""
    return {module_name(p): ast.parse(p.read_text("utf-8")) for p in sorted(PACKAGE.rglob("*.py"))}


def targets(node: ast.AST) -> Iterator[str]:
    """The modules a statement imports; ``from package import module`` names the module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: imports are absolute"
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in trees() else str(node.module)
    elif is_import_call(node):
        yield str(ast.literal_eval(node.args[0]))


def is_import_call(node: ast.AST) -> TypeGuard[ast.Call]:
    """Whether this is ``import_module("...")`` of a name written out."""
    return (
        isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith(("import_module", "__import__"))
        and bool(node.args)
        and isinstance(node.args[0], ast.Constant)
    )


def walk(
    node: ast.AST, at_load: bool = True, for_types: bool = False
) -> Iterator[tuple[ast.AST, bool, bool]]:
    """Every node, and whether it runs when the module is loaded or only for the type checker."""
    for child in ast.iter_child_nodes(node):
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        yield child, at_load, for_types
        yield from walk(child, at_load and not inside, for_types or typing_only)


@cache
def imports() -> tuple[Import, ...]:
    """Every import in the package, at module level or in a function."""
    return tuple(
        Import(name, target, getattr(node, "lineno", 0), at_load, for_types)
        for name, tree in trees().items()
        for node, at_load, for_types in walk(tree)
        for target in targets(node)
    )


def room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "gathering" and len(parts) > 1 and parts[1] in FLOOR else None


def top(module: str) -> str:
    return module.partition(".")[0]


def allowed(importer: str, imported: str) -> bool:
    return importer == imported or FLOOR[imported] < FLOOR[importer]


def test_every_folder_is_a_known_room() -> None:
    """A new folder gets a floor before it gets code."""
    folders = {p.parent.relative_to(PACKAGE).parts[0] for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE}
    assert folders <= set(FLOOR)


def test_imports_point_one_way() -> None:
    """A room imports only rooms below it, never a sibling or one above, not even inside a function."""
    wrong = [
        i.where
        for i in imports()
        if (here := room(i.source)) and (there := room(i.target)) and not allowed(here, there)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_room_but_the_upper_ones_uses_the_front_door() -> None:
    """``gathering`` itself is for users: a room below the notebook imports the room that owns the name."""
    wrong = [
        i.where
        for i in imports()
        if i.target == "gathering" and (here := room(i.source)) and FLOOR[here] < FLOOR["notebook"]
    ]
    assert not wrong, "\n".join(wrong)


def test_core_uses_the_standard_library_and_pydantic_only() -> None:
    """Core imports nothing that has to be installed, except pydantic where input is checked."""
    fine = {*sys.stdlib_module_names, "gathering", "pydantic", "pydantic_core"}
    wrong = [i.where for i in imports() if room(i.source) == "core" and top(i.target) not in fine]
    assert not wrong, "\n".join(wrong)


def test_libraries_stay_in_their_rooms() -> None:
    """Front ends, servers, databases and transports are imported only by the room that is about them."""
    wrong = [
        i.where
        for i in imports()
        if (top(i.target) in NOWHERE and i.target != COLAB)
        or (top(i.target) in ONLY_IN and room(i.source) not in ONLY_IN[top(i.target)])
    ]
    assert not wrong, "\n".join(wrong)


def test_heavy_libraries_are_imported_when_used() -> None:
    """No module costs a second to load because of a library that one of its functions needs."""
    wrong = [i.where for i in imports() if i.at_load and not i.for_types and top(i.target) in LAZY]
    assert not wrong, "\n".join(wrong)


def test_no_import_cycles() -> None:
    """Modules can be loaded in one order."""
    graph = {
        name: {
            i.target
            for i in imports()
            if i.source == name and i.at_load and not i.for_types and i.target in trees() and i.target != name
        }
        for name in trees()
    }
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as err:
        pytest.fail(" -> ".join(err.args[1]))


def test_modules_fit_on_a_desk() -> None:
    """No module is longer than the ceiling."""
    lengths = {p: len(p.read_text("utf-8").splitlines()) for p in PACKAGE.rglob("*.py")}
    assert not {str(p.relative_to(PACKAGE)): n for p, n in lengths.items() if n > MODULE_LINES}


def test_functions_fit_on_a_screen() -> None:
    """No function is longer than the ceiling, its docstring not counted."""
    long = [
        f"{name}:{node.lineno} {node.name} has {lines} lines"
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := function_lines(node)) > FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    documented = ast.get_docstring(node, clean=False) is not None
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0
    return (node.end_lineno or node.lineno) - node.lineno + 1 - docstring


def test_every_module_says_what_it_owns() -> None:
    """Each file opens with a paragraph and lists what it offers."""
    silent = [name for name, tree in trees().items() if not ast.get_docstring(tree)]
    unlisted = [name for name, tree in trees().items() if not declares_all(tree)]
    assert not silent
    assert not unlisted


def declares_all(tree: ast.Module) -> bool:
    named = [
        target
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in named)


def loaded_by(statement: str, names: tuple[str, ...]) -> str:
    """Which of the names are loaded after a statement in a new interpreter."""
    code = f"import sys; {statement}; print(*[n for n in {names!r} if n in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return ran.stdout.strip()


def test_import_gathering_is_light() -> None:
    """``import gathering`` loads no front end, table, database or server library."""
    assert loaded_by("import gathering", NOT_LOADED) == ""


def test_loading_the_magics_is_light() -> None:
    """The notebook room brings IPython, and nothing that a first cell does not need."""
    heavy = ("pandas", "sqlalchemy", "scipy", "httptools", "pydantic")
    assert loaded_by("import gathering.notebook", heavy) == ""
