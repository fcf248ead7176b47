"""The command line as a process: with pipes, on a pseudo-terminal, or with one output on a
pseudo-terminal and the other in a pipe, as with `id=$(...)` and `... 2> log`.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from tests.commands import Command, Piped, Streams
from tests.harness import ROOT

SECONDS = 60.0
DIRTY = 'id,name,value\n1,Ada,10\n2,Alan,20,30\n3,"Grace,5\n'
"""Three rows, of which one is loaded."""
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
MOVES = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")
ROWS, COLUMNS = 40, 120


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Return the text of output that must be a single line."""
        return json.loads(self.out)

    @property
    def jsons(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Cli:
    """`python -m app` against one server, forked: only its start differs."""

    def __init__(self, port: int, key: str = "", **environment: object) -> None:
        ours = {
            "GRANULA_URL": f"http://127.0.0.1:{port}",
            "GRANULA_KEY": key,
            "PYTHONPATH": str(ROOT),
            **environment,
        }
        gone = (
            "DATABASE_URL",
            "STORAGE_DIR",
            "COLUMNS",
            "NO_COLOR",
            "FORCE_COLOR",
            "GITHUB_ACTIONS",
        )
        self.environment = {k: v for k, v in os.environ.items() if k not in gone}
        self.environment |= {name: str(value) for name, value in ours.items()} | {"TERM": "xterm"}

    def __call__(
        self, *arguments: object, stdin: str = "", cwd: Path = ROOT, **environment: object
    ) -> Done:
        return self.begin(*arguments, stdin=stdin, cwd=cwd, **environment).end()

    def begin(
        self, *arguments: object, stdin: str = "", cwd: Path = ROOT, **environment: object
    ) -> Begun:
        changed = self.environment | {name: str(value) for name, value in environment.items()}
        return Begun(Piped("app", *arguments, environment=changed, cwd=cwd, stdin=stdin))

    def on_terminal(self, *arguments: object, columns: int = COLUMNS) -> Terminal:
        return Terminal(self._words(arguments), self.environment, columns)

    def mixed(self, terminal: Literal["out", "err"], *arguments: object) -> Done:
        """Run a command with this output on a pseudo-terminal and the other in a pipe; return both
        unchanged.
        """
        words = self._words(arguments)
        return _mixed(terminal, lambda streams: Command(words, self.environment, streams))

    @staticmethod
    def _words(arguments: tuple[object, ...]) -> list[str]:
        return ["app", *map(str, arguments)]


class Begun:
    """A running command."""

    def __init__(self, process: Piped) -> None:
        self._process = process

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def end(self) -> Done:
        done = self._process.finish(SECONDS)
        return Done(done.returncode, done.stdout, done.stderr)


class Process(Protocol):
    def wait(self, timeout: float) -> int: ...


def mixed(
    terminal: Literal["out", "err"],
    command: list[str],
    environment: dict[str, str],
    cwd: Path = ROOT,
) -> Done:
    """Run any command, not only our own."""

    def start(streams: Streams) -> Process:
        stdin, stdout, stderr = streams
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )

    return _mixed(terminal, start)


def _mixed(terminal: Literal["out", "err"], start: Callable[[Streams], Process]) -> Done:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    piped, pipe = os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY)
    outputs = (theirs, pipe) if terminal == "out" else (pipe, theirs)
    process = start((nothing, *outputs))
    for end in (nothing, theirs, pipe):
        os.close(end)
    found: dict[int, bytes] = {ours: b"", piped: b""}
    waiting, deadline = set(found), time.monotonic() + SECONDS
    while waiting:
        assert time.monotonic() < deadline, found
        for each in select.select(list(waiting), [], [], 1)[0]:
            try:
                data = os.read(each, 1 << 16)
            except OSError:  # the other end of the pseudo-terminal is closed
                data = b""
            found[each] += data
            if not data:
                waiting.discard(each)
    code = process.wait(SECONDS)
    shown, plain = found[ours].decode(errors="replace"), found[piped].decode()
    os.close(piped)
    os.close(ours)
    return Done(code, shown, plain) if terminal == "out" else Done(code, plain, shown)


def screen(raw: str) -> list[str]:
    """Return the lines that a terminal of any height shows after this output: a bar uses only
    cursor up, erase, return and new line. The line of the cursor is the last, and is omitted if
    empty.
    """
    lines, row, column = [""], 0, 0
    for given, letter, control, text in MOVES.findall(raw):
        if control == "\r":
            column = 0
        elif control == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif text:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
        elif letter == "A":
            row -= int(given or 1)
            assert row >= 0, "the cursor went above the first line"
        elif letter == "K":
            assert given == "2"
            lines[row] = ""
        else:
            assert letter in "mhl", f"CSI {given}{letter}"
    return lines if lines[-1] else lines[:-1]


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(
        self, words: list[str], environment: dict[str, str], columns: int = COLUMNS
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        self._process = Command(words, environment, (theirs, theirs, theirs))
        os.close(theirs)
        self.raw = ""

    @property
    def text(self) -> str:
        """Return the output so far, without cursor movements."""
        return ESCAPES.sub("", self.raw)

    def wait_for(self, pattern: str) -> re.Match[str]:
        deadline = time.monotonic() + SECONDS
        while (found := re.search(pattern, self.text)) is None:
            assert time.monotonic() < deadline, f"{pattern} did not come:\n{self.text}"
            assert self._read(deadline - time.monotonic()), f"ended without {pattern}:\n{self.text}"
        return found

    def type(self, keys: str) -> None:
        """`\\x03` is Ctrl-C."""
        os.write(self._ours, keys.encode())

    def end(self) -> int:
        """Read to the end; return the exit code."""
        deadline = time.monotonic() + SECONDS
        while self._read(deadline - time.monotonic()):
            assert time.monotonic() < deadline, self.text
        os.close(self._ours)
        return self._process.wait(SECONDS)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._ours], [], [], max(seconds, 0))[0]:
            return False
        try:
            data = os.read(self._ours, 1 << 16)
        except OSError:  # the other end is closed
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)
