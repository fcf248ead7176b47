"""What COPY is fed with: parts of bounded size, of memory that is there already."""

from __future__ import annotations

from app.features.tables.loading.postgresql import SENT_BYTES, sent


async def test_pieces_come_in_order_in_bounded_parts_without_a_copy() -> None:
    pieces = [bytes([65 + place]) * (SENT_BYTES * place + place) for place in range(4)]
    parts = [part async for part in sent(pieces)]
    assert b"".join(parts) == b"".join(pieces)
    assert max(len(part) for part in parts) == SENT_BYTES
    assert {id(part.obj) for part in parts} == {id(piece) for piece in pieces if piece}


async def test_nothing_is_sent_of_no_rows() -> None:
    assert [part async for part in sent([b""])] == []
