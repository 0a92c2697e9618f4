"""The Python tool: what code gives, what stops it, and everything it must not reach."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from gathering.core.errors import ConfigurationError, UnknownNameError
from gathering.core.registry import create_tool
from gathering.core.results import ToolPermission
from gathering.tools.python import PythonTool


@pytest.fixture(scope="module")
def python() -> PythonTool:
    return PythonTool(timeout=0.5, max_memory=32 * 2**20, max_output=10_000)


# What it is for


@pytest.mark.parametrize(
    ("code", "output"),
    [
        ("6 * 7", 42),
        ("x = 6\nx * 7", 42),
        ("'größe'.upper()", "GRÖSSE"),
        ("x = 1", None),
        ("print('hi')\nprint('there')", "hi\nthere\n"),
        ("print('hi')\n5", {"result": 5, "printed": "hi\n"}),
        ("[(1, 2), {3, 1}, b'x', 1.5, None, True]", [[1, 2], [1, 3], "b'x'", 1.5, None, True]),
        ("{1: 'a', (1, 2): 'b'}", {"1": "a", "(1, 2)": "b"}),
        ("import datetime\ndatetime.date(2024, 5, 1)", "2024-05-01"),
        ("import math, json\njson.dumps({'pi': round(math.pi, 3)})", '{"pi": 3.142}'),
        ("def f(n):\n    return 1 if n < 2 else n * f(n - 1)\nf(20)", 2432902008176640000),
        ("import time\ntime.sleep(3)\n'slept'", "slept"),
    ],
)
def test_code_gives_its_value_and_what_it_prints(python: PythonTool, code: str, output: Any) -> None:
    """The last line's value in what JSON has, the printed text, or both."""
    result = python.execute({"code": code})
    assert result.error is None
    assert result.output == output


def test_nothing_is_kept_between_calls(python: PythonTool) -> None:
    """One model's code does not see another's."""
    assert python.execute("secret = 5").success
    assert "NameError: name 'secret' is not defined" in str(python.execute("secret").error)


def test_a_long_way_down_ends_in_dots(python: PythonTool) -> None:
    """A result nested a hundred thousand times is still a result."""
    output = python.execute("x = []\nfor i in range(100000): x = [x]\nx").output
    depth = 0
    while isinstance(output, list):
        (output,) = output
        depth += 1
    assert (output, depth) == ("...", 51)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "def f(x):\n    return 1 / x\n\nf(0)",
            "the code failed: ZeroDivisionError: division by zero (line 2)",
        ),
        ("x = ", "the code failed: SyntaxError: Expected an expression (line 1)"),
        ("y", "the code failed: NameError: name 'y' is not defined (line 1)"),
        ("raise ValueError('two\\nlines')", "the code failed: ValueError: two lines (line 1)"),
    ],
)
def test_what_code_raises_is_told_in_one_line(python: PythonTool, code: str, said: str) -> None:
    """With the line it was on."""
    result = python.execute(code)
    assert not result.success
    assert result.error == said


# What it must not reach

OUTSIDE = {
    "reading a file": "open('/etc/passwd').read()",
    "writing a file": "open('here.txt', 'w').write('x')",
    "printing into a file": "print('x', file=open('here.txt', 'w'))",
    "reading by pathlib": "import pathlib\npathlib.Path('/etc/passwd').read_text()",
    "listing by pathlib": "from pathlib import Path\nlist(Path('/').iterdir())",
    "listing by os": "import os\nos.listdir('/')",
    "deleting by os": "import os\nos.remove('here.txt')",
    "its own environment": "open('/proc/self/environ').read()",
    "the environment": "import os\nos.environ['SECRET']",
    "the environment by getenv": "import os\nos.getenv('SECRET')",
    "a shell": "import os\nos.system('id')",
    "a shell by import": "__import__('os').system('id')",
    "a process": "import subprocess\nsubprocess.run(['id'])",
    "a fork": "import os\nos.fork()",
    "a signal": "import os\nos.kill(1, 9)",
    "the network": "import socket\nsocket.create_connection(('127.0.0.1', 80))",
    "a page": "import urllib.request\nurllib.request.urlopen('http://127.0.0.1')",
    "memory by ctypes": "import ctypes\nctypes.string_at(0)",
    "packages": "import numpy",
    "this package": "import gathering",
    "the garbage collector": "import gc\ngc.get_objects()",
    "loaded modules": "import sys\nsys.modules",
    "the importer": "import importlib\nimportlib.import_module('os')",
    "builtins": "import builtins\nbuiltins.open",
    "builtins by name": "__builtins__",
    "globals": "globals()",
    "classes by a tuple": "().__class__.__bases__[0].__subclasses__()",
    "classes by object": "object.__subclasses__()",
    "classes by the order of bases": "type(1).__mro__",
    "classes by a format": "'{0.__class__}'.format(1)",
    "globals of a function": "(lambda: 0).__globals__",
    "code of a function": "(lambda: 0).__code__.co_consts",
    "frames by an exception": "try:\n    1 / 0\nexcept Exception as e:\n    e.__traceback__.tb_frame.f_back",
    "evaluating its way out": "eval(\"open('/etc/passwd').read()\")",
    "executing its way out": 'exec("import subprocess")',
    "compiling": "compile('1', 'x', 'eval')",
    "a person's input": "input('password: ')",
    "a debugger": "breakpoint()",
    "leaving": "import os\nos._exit(0)",
    "leaving by an exception": "raise SystemExit(0)",
    "stopping like a person": "raise KeyboardInterrupt",
}
TOO_MUCH = {
    "a loop without end": "while True:\n    pass",
    "a loop that catches everything": "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass",
    "a loop in one call": "sum(range(10**12))",
    "a loop that sleeps": "import time\nwhile True:\n    time.sleep(1)",
    "a loop that awaits": "import asyncio\nasync def f():\n    while True:\n        await asyncio.sleep(0)\nawait f()",
    "a factorial": "import math\nmath.factorial(10**7)",
    "a list too long": "[0] * 10**9",
    "a range too long": "list(range(10**12))",
    "a text that doubles": "x = 'a'\nwhile True:\n    x += x",
    "a text too wide": "'{:>1000000000}'.format(1)",
    "bytes": "bytes(10**10)",
    "a dict that grows": "x = {}\nfor i in range(10**9):\n    x[i] = i",
    "a power": "9**9**9",
    "a power of a power": "10**10**8",
    "calling itself": "def f():\n    return f()\nf()",
    "showing itself": "class A:\n    def __repr__(self):\n        return repr(self)\nrepr(A())",
    "brackets": "(" * 50_000,
    "lists in lists": "[" * 5000 + "]" * 5000,
    "JSON in JSON": "import json\njson.loads('[' * 100000)",
    "a pattern that backtracks": "import re\nre.match(r'(a*)*\\1b', 'a' * 60)",
    "printing without end": "while True:\n    print('x' * 1000)",
    "a result too long": "'x' * 1000000",
    "too many results": "list(range(20000))",
    "a number too long": "3**100000",
    "a number too long as a key": "{2**15000: 1}",
    "a number too long in a key": "{(2**15000, 1): 1}",
    "code too long": "x = 1\n" * 100_000,
    "an allocation at once": "'x' * (31 * 2**20)",
}


@pytest.mark.parametrize("attack", [*OUTSIDE, *TOO_MUCH])
def test_code_neither_gets_out_nor_holds_up(
    attack: str, python: PythonTool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ends in a failed result of one line; nothing happened; the tool goes on working."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET", "the secret")
    (tmp_path / "here.txt").write_text("kept")
    result = python.execute({"code": (OUTSIDE | TOO_MUCH)[attack]})
    assert not result.success
    assert result.output is None
    assert result.error
    assert len(result.error.splitlines()) == 1
    assert "the secret" not in result.error
    assert [p.name for p in tmp_path.iterdir()] == ["here.txt"]
    assert (tmp_path / "here.txt").read_text() == "kept"
    assert python.execute("1 + 1").output == 2


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        ("a loop without end", "the code ran longer than 0.5 s and was stopped"),
        ("a loop that catches everything", "the code ran longer than 0.5 s and was stopped"),
        ("a list too long", "the code needed more than 32 MB of memory"),
        ("printing without end", "the code printed more than 10,000 bytes"),
        ("a result too long", "the result has more than 10,000 characters or items: return a part of it"),
        ("code too long", "python runs at most 100,000 characters of code, got 600,000"),
    ],
)
def test_a_limit_is_called_by_its_name(python: PythonTool, attack: str, said: str) -> None:
    """So that the model knows what to do less of."""
    assert python.execute(TOO_MUCH[attack]).error == said


async def test_code_that_runs_can_be_cancelled() -> None:
    """Stop ends the sandbox, not only the wait for it."""
    tool = PythonTool(timeout=60)
    running = asyncio.create_task(tool.execute_async("while True:\n    pass"))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await tool.execute_async("1 + 1")).output == 2


async def test_calls_run_side_by_side(python: PythonTool) -> None:
    """Each in a process of its own."""
    results = await asyncio.gather(*(python.execute_async(f"{n} * 2") for n in range(4)))
    assert [r.output for r in results] == [0, 2, 4, 6]


def test_no_process_is_left_behind(python: PythonTool) -> None:
    """When a call is over, so is its sandbox."""
    import psutil

    python.execute("1")
    assert not [c for c in psutil.Process(os.getpid()).children(recursive=True) if "monty" in c.name()]


# Being made, and being called wrongly


def test_it_is_made_by_its_name() -> None:
    """``{"name": "python"}`` is enough, and the model is told what there is not."""
    tool = create_tool("python")
    assert isinstance(tool, PythonTool)
    assert (tool.permissions, tool.is_available()) == ({ToolPermission.EXECUTE}, True)
    assert "no network" in tool.get_description()
    assert all(tool.execute(arguments).success for _, arguments in tool.get_examples())


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"timeout": 0}, ConfigurationError, "above 0"),
        ({"max_memory": "64 MB"}, ConfigurationError, "above 0"),
        ({"time_out": 5}, UnknownNameError, "did you mean 'timeout'"),
    ],
)
def test_a_tool_that_cannot_be_made_says_why(
    options: dict[str, Any], kind: type[Exception], said: str
) -> None:
    """A wrong option is the caller's mistake, with the way out in the message."""
    with pytest.raises(kind, match=said):
        PythonTool.from_config(options)


@pytest.mark.parametrize(
    "wrong", [None, 5, "", "  \n", {}, {"code": None}, {"code": ["1"]}, {"source": "1"}, {"code": "'\ud800'"}]
)
def test_input_it_cannot_use_is_explained(python: PythonTool, wrong: Any) -> None:
    """Bad input is a failed result with the same line as the check beforehand, never an exception."""
    result = python.execute(wrong)
    assert not result.success
    assert result.error == python.why_invalid(wrong)
    assert not python.validate_input(wrong)


def test_without_the_permission_to_execute_nothing_runs() -> None:
    """A tool that may only read does not run code."""
    tool = PythonTool("read")
    assert tool.execute("1 + 1").error == "python has no permission to execute code"
    assert tool.permission_for({"code": "1"}) is ToolPermission.EXECUTE
    assert tool.targets({"code": "1"}) == {"code": "1"}


def test_a_missing_sandbox_says_what_to_install(python: PythonTool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra is not installed, one line names it."""
    import sys

    monkeypatch.setitem(sys.modules, "pydantic_monty", None)
    assert python.execute("1").error == "the Python sandbox is not installed: pip install 'gathering[python]'"


def test_a_sandbox_without_its_program_says_so(python: PythonTool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation is a failed result, too."""
    monkeypatch.setenv("MONTY_BIN", "/nowhere/monty")
    assert "cannot be started" in str(python.execute("1").error)
