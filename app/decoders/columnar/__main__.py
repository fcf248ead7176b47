"""The process that reads a Parquet, Arrow or ORC file and sends its rows as JSON Lines."""

from __future__ import annotations

import sys
from typing import IO

import msgspec
import pyarrow as pa

from app.decoders.columnar.json_lines import Lines
from app.decoders.columnar.reading import limit_threads, open_table
from app.decoders.inside import Send, decode
from app.decoders.unreadable import Damaged, Encrypted

MOST_REASON_LETTERS = 300


def main(watched: int, memory_bytes: int) -> None:
    decode(watched, memory_bytes, _read)


def _read(file: IO[bytes], send: Send) -> None:
    limit_threads()
    try:
        table = open_table(file)
        lines = Lines(table)
        for piece in lines.pieces():
            send(b"D", piece)
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:MOST_REASON_LETTERS]
        if "crypt" in reason:
            raise Encrypted from None
        raise Damaged(reason.rstrip(".")) from None
    except RecursionError:
        raise Damaged("its columns nest too deep") from None
    report = {
        "decoder": table.kind,
        "facts": lines.report(),
        "places": msgspec.to_builtins(lines.places),
    }
    send(b"R", msgspec.json.encode(report))


if __name__ == "__main__":
    descriptor, memory = sys.argv[1:]
    main(int(descriptor), int(memory))
