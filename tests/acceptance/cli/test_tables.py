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
