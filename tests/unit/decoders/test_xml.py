"""Records of XML documents: what is read is what Python's own tree says by the documented rules, and
what could harm is refused.
"""

from __future__ import annotations

import io
import json
import random
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from app.decoders.unreadable import Damaged, Unreadable
from app.decoders.xml import records
from app.decoders.xml.records import Beyond, Document, NoRecords, NoXml
from app.formats.json_paths import parse_path
from app.formats.xml_beginning import html_in, xml_in

ORDERS = """<?xml version="1.0"?>
<!-- orders -->
<orders day="2024-01-01">
  <info>two</info>
  <order id="007">
    <name>Jäger &amp; Söhne</name>
    <item sku="a">1</item>
    <item>2</item>
    <address><city>Bonn</city><zip> 53111</zip></address>
    <note>Ring <b>twice</b>!</note>
    <empty/>
    <raw><![CDATA[a < b]]></raw>
    <!-- no -->
  </order>
  <order/>
</orders>"""
ROWS = [
    {
        "@id": "007",
        "name": "Jäger & Söhne",
        "item": [{"@sku": "a", "#text": "1"}, "2"],
        "address": {"city": "Bonn", "zip": " 53111"},
        "note": {"b": "twice", "#text": "Ring !"},
        "empty": "",
        "raw": "a < b",
    },
    {},
]


def read(data: bytes, path: str | None = None, encoding: str | None = None) -> list[Any]:
    document = Document(io.BytesIO(data), encoding)
    keys = document.path() if path is None else parse_path(path)
    return [json.loads(line) for lines in document.records(keys) for line in lines.splitlines()]


@pytest.mark.parametrize("path", [None, "/orders/order", "orders.order"])
def test_elements_become_records(path: str | None) -> None:
    assert read(ORDERS.encode(), path) == ROWS


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-32", "iso-8859-1", "cp1252", "shift_jis", "koi8-r"]
)
def test_the_declared_encoding_of_a_document_is_used(encoding: str) -> None:
    text = "<r><a>Straße</a><a>Füße</a></r>".replace("ß", "ss").replace(
        "ü", "ue" if encoding in ("shift_jis", "koi8-r") else "ü"
    )
    name = encoding.removesuffix("-sig")
    data = f'<?xml version="1.0" encoding="{name}"?>{text}'.encode(encoding)
    expected = [
        {"#text": "Strasse"},
        {"#text": "Fuesse" if encoding in ("shift_jis", "koi8-r") else "Füsse"},
    ]
    assert read(data) == expected
    undeclared = f"<r><a>{'Ж' if encoding == 'koi8-r' else 'a'}</a></r>".encode(encoding)
    assert len(read(undeclared, "/r/a", name)) == 1


def by_rule(element: ElementTree.Element) -> Any:
    """The documented rules, over the tree that Python makes."""
    value: dict[str, Any] = {f"@{name}": text for name, text in element.attrib.items()}
    for child in element:
        inner = by_rule(child)
        if not inner or list(inner) == ["#text"]:
            inner = inner.get("#text", "")
        value.setdefault(child.tag, []).append(inner)
    for name, found in value.items():
        if isinstance(found, list) and len(found) == 1:
            value[name] = found[0]
    text = (element.text or "") + "".join(child.tail or "" for child in element)
    if text and not (len(element) and text.isspace()):
        value["#text"] = text
    return value


def some_element(dice: random.Random, name: str, depth: int) -> ElementTree.Element:
    element = ElementTree.Element(name)
    for attribute in dice.sample(["id", "lang", "n"], dice.randrange(3)):
        element.set(attribute, dice.choice(["", "1", 'a"<&>', "é"]))
    element.text = dice.choice([None, "", " ", "x", "\n ", "a & b <", "日本"])
    for _ in range(dice.randrange(4) if depth else 0):
        child = some_element(dice, dice.choice(["a", "b", "c"]), depth - 1)
        child.tail = dice.choice([None, " ", "\n", "tail"])
        element.append(child)
    return element


@pytest.mark.parametrize("seed", range(40))
def test_any_document_is_read_as_specified(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(seed)
    monkeypatch.setattr(records, "READ_BYTES", dice.randrange(1, 50))
    root = ElementTree.Element("root")
    for _ in range(dice.randrange(1, 6)):
        group = ElementTree.SubElement(root, "group")
        group.extend(
            some_element(dice, dice.choice(["a", "b"]), 3) for _ in range(dice.randrange(4))
        )
    data = ElementTree.tostring(root, encoding=dice.choice(["utf-8", "utf-16", "us-ascii"]))
    wanted = [by_rule(element) for element in ElementTree.fromstring(data).findall("group/a")]
    if wanted:
        assert read(data, "/root/group/a") == wanted


def test_prefixes_are_kept_and_null_is_null() -> None:
    data = b"""<f:feed xmlns:f="urn:f" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns="urn:d">
    <f:entry xmlns:x="urn:x" x:lang="de"><title>a</title><x:title>b</x:title><n xsi:nil="true"/></f:entry></f:feed>"""
    row = {"@x:lang": "de", "title": "a", "x:title": "b", "n": None}
    assert read(data, "/feed/entry") == read(data, "/f:feed/f:entry") == read(data, "/*/*") == [row]


def nested(depth: int) -> bytes:
    return b"<r>" + b"<a>" * depth + b"</a>" * depth + b"</r>"


BILLION = b'<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><r><x>&b;</x></r>'


@pytest.mark.parametrize(
    ("data", "path", "error", "reason"),
    [
        (b"<r><a>1</a><a>2</r>", "/r/a", Damaged, "mismatched tag at line 1, column 18"),
        (b"<r><a>1</a>", "/r/a", Damaged, "no element found"),
        (b"<r><a>\xff</a></r>", "/r/a", Damaged, "not well-formed"),
        (b"<r><a>&nbsp;</a></r>", "/r/a", Damaged, "undefined entity"),
        (b'<?xml version="1.0" encoding="klingon"?><r/>', "/r", Damaged, "klingon"),
        (BILLION, "/r/x", NoXml, "DOCTYPE"),
        (b'<!DOCTYPE r SYSTEM "file:///etc/passwd"><r/>', "/r", NoXml, "DOCTYPE"),
        (b"<?xml version='1.0'?><!DOCTYPE html><html></html>", "/r", NoXml, "HTML page"),
        (b"<html><body/></html>", "/html/body", NoXml, "HTML page"),
        (b"<r><a/><a/></r>", "/r/b", NoRecords, "no records at `/r/b`; its beginning has elements at `/r/a`, `/r`"),
        (b"<r><a/><b/></r>", None, NoRecords, "not clear which elements are the records; its beginning has elements at `/r`"),
        (b"<r><a/><a/><b/><b/></r>", None, NoRecords, "at `/r/a`, `/r/b`, `/r`"),
        (nested(100_000), "/r/a", Beyond, "deeper than 64 levels"),
        (nested(100_000), None, Beyond, "deeper than 128 levels"),
        (nested(100_000), "/x/y", Beyond, "deeper than 64 levels"),
        (b"<r><a " + b" ".join(b'a%d=""' % n for n in range(2000)) + b"/></r>", "/r/a", Beyond, "more than 1000 attributes"),
    ],
)  # fmt: skip
def test_an_unreadable_document_is_refused(
    data: bytes, path: str | None, error: type[Unreadable], reason: str
) -> None:
    with pytest.raises(error, match=reason.replace("(", r"\(")):
        read(data, path)


def test_an_endless_record_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_RECORD_CHARACTERS", 10_000)
    with pytest.raises(Beyond, match="Record 1 has more than 10000 characters"):
        read(b"<r><a>" + b"x" * 1_000_000, "/r/a")


def test_a_single_record_is_recognised_like_several() -> None:
    inner = b"<item>1</item><item>2</item>"
    assert read(b"<orders><order>" + inner + b"</order></orders>") == [{"item": ["1", "2"]}]


def test_an_empty_list_has_no_records() -> None:
    assert read(b"<orders> </orders>", "/orders/order") == []


@pytest.mark.parametrize(
    ("data", "is_xml", "is_html"),
    [
        (ORDERS.encode(), True, False),
        ("\ufeff<a/>".encode("utf-16-le"), True, False),
        (b"<a><b>1</b>", True, False),
        (b"\n <a>\n<b>1", True, False),
        (b"<a><b></a>", True, False),
        (b"<!DOCTYPE html>\n<html>", False, True),
        (b"<!-- x --><HTML lang='en'><p>", False, True),
        (b"<p>one</p>,1\n<p>two</p>,2\n", False, False),
        (b"<id>,<name>\n1,x\n", False, False),
        (b"<5,<6\n1,2\n", False, False),
        (b"a,b\n<a><b/></a>,1\n", False, False),
        (b"", False, False),
    ],
)
def test_a_document_is_recognised_by_its_beginning(
    data: bytes, is_xml: bool, is_html: bool
) -> None:
    assert (xml_in(data), html_in(data)) == (is_xml, is_html)
