"""The command line loads files into tables, against a real server on the embedded database."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import Cli
from tests.forks import Server
from tests.harness import query

pytestmark = pytest.mark.one_database


@pytest.fixture(scope="module")
def cli(server: Server) -> Cli:
    """Environment with the key of an administrator."""
    made = Cli(server.port)(
        "users", "create", "root", "--admin", DATABASE_URL=server.url, STORAGE_DIR=server.storage
    )
    assert made.code == 0, made.err
    return Cli(server.port, made.out.strip())


def test_only_administrators_load_tables(cli: Cli, server: Server, tmp_path: Path) -> None:
    made = cli("users", "create", "ada", DATABASE_URL=server.url, STORAGE_DIR=server.storage)
    ada = Cli(server.port, made.out.strip())
    (tmp_path / "a.csv").write_text("a\n1\n")
    refused = ada("load", tmp_path / "a.csv", "--to", "anything")
    assert (refused.code, "Only administrators" in refused.err) == (4, True)
    assert ada("tables").code == ada("connections").code == 4


def test_a_file_creates_a_table_and_the_next_one_changes_it(
    cli: Cli, server: Server, tmp_path: Path
) -> None:
    november, december = tmp_path / "november.csv", tmp_path / "december.csv"
    november.write_text("sku,price,stock\nA,1.50,3\nB,2.00,4\n")
    december.write_text("sku,price,stock\nA,1.75,3\nC,9.00,x\nD,0.50,1\n")
    made = cli("load", november, "--to", "prices", "--mode", "create", "--key", "sku")
    assert made.code == 0, made.err
    assert "prices: 2 inserted" in made.err
    done = cli("load", december, "--to", "prices", "--mode", "upsert", "--json", "--quiet")
    assert done.code == 1, done.err
    assert done.json["summary"]["updated"] == 1
    rows = query(server.url, "SELECT sku, price, stock FROM prices ORDER BY sku")
    assert rows == [("A", "1.75", 3), ("B", "2.00", 4), ("D", "0.50", 1)]
    described = cli("tables", "prices", "--json").json
    assert [column["type"] for column in described["columns"]] == ["TEXT", "TEXT", "INTEGER"]
    assert described["primary_key"] == ["sku"]
    listed = cli("tables")
    assert "main.prices" in listed.out
    shown = cli("tables", "prices")
    assert "3 rows" in shown.err
    assert "primary key" in shown.out


def test_a_dry_run_says_what_the_load_would_do(cli: Cli, server: Server, tmp_path: Path) -> None:
    query(
        server.url,
        "CREATE TABLE tariff (sku TEXT PRIMARY KEY, price TEXT, stock INTEGER) STRICT",
        "INSERT INTO tariff VALUES ('A', '1.50', 3), ('B', '2.00', 4)",
    )
    file = tmp_path / "tariff.csv"
    file.write_text("sku,price,stock\nA,1.75,3\nB,2.00,4\nC,9.00,many\nD,,1\n")
    tried = cli("load", file, "--to", "tariff", "--mode", "upsert", "--dry-run")
    assert tried.code == 1, tried.err  # as the load would: a row is rejected
    assert tried.out.splitlines() == [
        "tariff: would insert 1, update 1, delete 0; 1 unchanged, 1 rejected. Nothing was changed.",
        "  price would change in 1 row",
        "  insert row 4: sku=D, price=null, stock=1",
        "  update row 1: sku=A, price=1.75 (before: 1.50), stock=3",
    ]
    as_json = cli("load", file, "--to", "tariff", "--mode", "upsert", "--dry-run", "--json").json
    assert as_json["updated_columns"] == {"price": 1}

    made = cli("load", file, "--to", "fresh", "--mode", "create", "--key", "sku", "--dry-run")
    assert made.code == 0, made.err
    assert made.out.startswith("CREATE TABLE ")
    created = cli("load", file, "--to", "fresh", "--mode", "create", "--dry-run", "--json").json
    assert created["rows"] == {"total": 4, "ok": 4, "rejected": 0}
    assert "fresh: would insert 4, update 0, delete 0. Nothing was changed." in made.out
    rows = query(server.url, "SELECT * FROM tariff ORDER BY sku")
    assert rows == [("A", "1.50", 3), ("B", "2.00", 4)]
    names = query(server.url, "SELECT name FROM sqlite_master WHERE name = 'fresh'")
    assert names == []


def test_a_refused_load_prints_the_reason(cli: Cli, server: Server, tmp_path: Path) -> None:
    query(server.url, "CREATE TABLE narrow (a INTEGER NOT NULL, b TEXT)")
    file = tmp_path / "wide.csv"
    file.write_text("a,b,c\n1,2,3\n")
    refused = cli("load", file, "--to", "narrow")
    assert refused.code == 4
    assert "no column for 'c'" in refused.err
    assert cli("load", file, "--to", "nowhere").code == 4
    assert cli("load", file, "--to", "narrow", "-O", "mode=append").code == 2
    assert cli("load", file, "--to", "narrow", "--on-schema-change", "ignore").code == 0
    assert query(server.url, "SELECT a, b FROM narrow") == [(1, "2")]


def test_connections_are_listed(cli: Cli) -> None:
    assert "(the service's own)" in cli("connections").out
    assert [record["kind"] for record in cli("connections", "--json").jsons] == ["sqlite"]
