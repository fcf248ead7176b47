"""A pooler in transaction mode, over real sockets: each transaction of a client gets the next of a few
sessions of the server. What a client leaves in a session (a setting, a prepared statement, a temporary
table) is not there in its next transaction.

It speaks as much of the protocol of PostgreSQL as that takes: a session is given back when the server
says that it is idle, and as often as the client asked.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections import deque
from contextlib import suppress
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

SSL_REQUEST, PROTOCOL = 80877103, 196608
ASKS_FOR_READY = b"QSF"
"""Query, Sync, FunctionCall: the server answers each with ReadyForQuery."""

Message = tuple[bytes, bytes]
"""Type and body."""


class Session:
    """A session of the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.greeting = b""
        """The parameters of the server, as messages."""
        self.asked = 0
        """How many times ReadyForQuery is still to come."""
        self.loses_answer = False


class Pooler:
    def __init__(self, url: str, sessions: int = 3) -> None:
        """`url`: a database that lets its user in without a password."""
        parts = urlsplit(url)
        self._user, self._database = parts.username or "postgres", parts.path[1:]
        folder = parse_qs(parts.query).get("host", [""])[0]
        self._socket = f"{unquote(folder)}/.s.PGSQL.5432" if folder else ""
        self._address = (parts.hostname or "localhost", parts.port or 5432)
        self._count = sessions
        self._free: deque[Session] = deque()
        self._returned = asyncio.Condition()
        self._clients: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.transactions = 0
        """How often a session was lent."""
        self.cut_after: int | None = None
        """Number of transactions after which the next one loses its connection, once."""
        self.lose_commit_of = b""
        """A parameter: the server commits the transaction with it, and the answer is lost, once."""
        self.was_cut = False
        self._is_down = False

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        return f"postgresql://{self._user}@127.0.0.1:{self.port}/{self._database}"

    def go_down(self) -> None:
        """End all clients, and accept no more."""
        self._is_down = True
        self._run(self._end_clients())

    async def _end_clients(self) -> None:
        for writer in self._clients:
            writer.close()

    def come_back(self) -> None:
        self._is_down = False

    async def _start(self) -> None:
        for _ in range(self._count):
            self._free.append(await self._connect())
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        for writer in [*self._clients, *(session.writer for session in self._free)]:
            writer.close()
        mine = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not mine]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _connect(self) -> Session:
        if self._socket:
            session = Session(*await asyncio.open_unix_connection(self._socket))
        else:
            session = Session(*await asyncio.open_connection(*self._address))
        names = f"user\0{self._user}\0database\0{self._database}\0\0".encode()
        session.writer.write(struct.pack("!ii", len(names) + 8, PROTOCOL) + names)
        while True:
            kind, body = await _message(session.reader)
            if kind == b"R" and body != b"\0\0\0\0":
                raise ValueError("the server wants a password")
            if kind == b"E":
                raise ValueError(body.decode(errors="replace"))
            if kind == b"S":
                session.greeting += _packed(kind, body)
            if kind == b"Z":
                return session

    # ------------------------------------------------------------------ a client

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        messages: asyncio.Queue[Message | None] = asyncio.Queue()
        reading: asyncio.Task[None] | None = None
        with suppress(OSError, asyncio.IncompleteReadError):
            if not self._is_down and await self._greet(reader, writer):
                reading = asyncio.create_task(_read_all(reader, messages))
                while await self._transaction(messages, writer):
                    pass
        if reading is not None:
            reading.cancel()
        self._clients.discard(writer)
        writer.close()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        size, code = struct.unpack("!ii", await reader.readexactly(8))
        if code == SSL_REQUEST:
            writer.write(b"N")
            size, code = struct.unpack("!ii", await reader.readexactly(8))
        await reader.readexactly(size - 8)
        if code != PROTOCOL:
            return False  # a request to cancel
        session = await self._borrow()
        writer.write(_packed(b"R", b"\0\0\0\0") + session.greeting)
        writer.write(_packed(b"K", b"\0" * 8) + _packed(b"Z", b"I"))
        await self._give_back(session)
        return True

    async def _transaction(
        self, messages: asyncio.Queue[Message | None], writer: asyncio.StreamWriter
    ) -> bool:
        """Lend a session for one transaction; return False if the client is gone."""
        first = await messages.get()
        if first is None or first[0] == b"X":
            return False
        session = await self._borrow()
        self.transactions += 1
        answers: asyncio.Queue[Message | None] = asyncio.Queue()
        answering = asyncio.create_task(_read_all(session.reader, answers))
        asking = asyncio.create_task(self._forward(first, messages, session))
        is_whole = False
        try:
            await self._answer(answers, writer, session)
            is_whole = True
        finally:
            asking.cancel()
            answering.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)
            if not is_whole:
                session.writer.close()  # the server rolls back
                session = await self._connect()
            await self._give_back(session)
        return True

    async def _forward(
        self, first: Message, messages: asyncio.Queue[Message | None], session: Session
    ) -> None:
        message: Message | None = first
        while message is not None and message[0] != b"X":
            session.asked += message[0] in ASKS_FOR_READY
            if message[0] == b"B" and self.lose_commit_of and self.lose_commit_of in message[1]:
                self.lose_commit_of, session.loses_answer = b"", True
            session.writer.write(_packed(*message))
            await session.writer.drain()
            message = await messages.get()
        session.writer.close()  # the client is gone in the middle of a transaction

    async def _answer(
        self,
        answers: asyncio.Queue[Message | None],
        writer: asyncio.StreamWriter,
        session: Session,
    ) -> None:
        """Send the answers until the session is idle. Raises ConnectionResetError."""
        while True:
            message = await answers.get()
            if message is None:
                raise ConnectionResetError("the server or the client is gone")
            if session.loses_answer and message == (b"Z", b"I"):
                self.was_cut = True
                raise ConnectionResetError("as the test wants it")
            writer.write(_packed(*message))
            await writer.drain()
            if message[0] != b"Z":
                continue
            session.asked -= 1
            if self.cut_after is not None and self.transactions > self.cut_after:
                self.cut_after, self.was_cut = None, True
                raise ConnectionResetError("as the test wants it")
            if message[1] == b"I" and not session.asked:
                return

    async def _borrow(self) -> Session:
        async with self._returned:
            await self._returned.wait_for(lambda: self._free)
            return self._free.popleft()

    async def _give_back(self, session: Session) -> None:
        async with self._returned:
            self._free.append(session)
            self._returned.notify()


async def _read_all(reader: asyncio.StreamReader, messages: asyncio.Queue[Message | None]) -> None:
    """Put all messages into the queue, and None at the end."""
    with suppress(OSError, asyncio.IncompleteReadError):
        while True:
            messages.put_nowait(await _message(reader))
    messages.put_nowait(None)


async def _message(reader: asyncio.StreamReader) -> Message:
    kind = await reader.readexactly(1)
    (size,) = struct.unpack("!i", await reader.readexactly(4))
    return kind, await reader.readexactly(size - 4)


def _packed(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body
