"""A processor that writes to a table that many jobs share, without a model service."""

from __future__ import annotations

import msgspec
import xxhash

from app.formats.base import Rows
from app.processors.base import ChunkContext, ChunkOutcome, WritesTables


class Ledger(WritesTables):
    """Reads the columns `transaction_id` and `account_id`."""

    name = "ledger"
    tables = ("transactions",)

    def process(self, rows: Rows, context: ChunkContext) -> ChunkOutcome:
        given = []
        for number, (key, account) in zip(rows.numbers, rows.records(), strict=True):
            data = msgspec.json.encode({"transaction_id": key, "account_id": account})
            hashed = f"{xxhash.xxh3_64_intdigest(data):016x}"
            given.append((key, number, None, account, None, None, data.decode(), hashed))
        return ChunkOutcome(
            rows, tables={"transactions": context.encode_table("transactions", given)}
        )
