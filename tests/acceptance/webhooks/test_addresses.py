"""Messages go only to public addresses, whatever a URL or a name server says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from app.clients.addresses import is_public
from app.errors import WebhookUrlRefused
from app.features.webhooks import client
from app.features.webhooks.client import WebhookSender
from tests.crash.service import Service
from tests.harness import wait_until
from tests.webhooks.receiver import Receiver

CLOSED = """0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1
172.31.255.255 192.0.0.8 192.0.0.192 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1 192.168.1.1 192.175.48.1 198.18.0.1
198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 168.63.129.16
:: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:10.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe
64:ff9b:1::1 100::1 2001::1 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1:: 2002:808:808:: 3fff::1 5f00::1
fc00::1 fd00:ec2::254 fe80::1 fe80::1%lo fec0::1 ff02::1 2620:4f:8000::1 2a00:1450::5efe:127.0.0.1 2a00::200:5efe:a00:1
localhost 127.1 2130706433 0x7f.1 0177.0.0.1 1.2.3""".split()
OPEN = """1.1.1.1 8.8.8.8 93.184.216.34 100.63.255.255 100.128.0.1 172.15.255.255 172.32.0.1 192.0.1.1 198.17.255.255
2606:4700:4700::1111 2a00:1450:4001:81b::200e ::ffff:8.8.8.8 64:ff9b::808:808 2001:4860:4860::8888""".split()


def test_special_addresses_are_not_public() -> None:
    assert [address for address in CLOSED if is_public(address)] == []
    assert [address for address in OPEN if not is_public(address)] == []


def test_unusable_urls_are_refused_on_creation() -> None:
    sender = WebhookSender(timeout_seconds=1, allow_private=False)
    for url in (
        "http://example.com/", "https://127.0.0.1/", "https://[::1]/", "https://[fe80::1]/", "https://2130706433/",
        "https://0x7f.1/", "https://127.1/", "https://localhost/", "https://LOCALHOST./", "https://127。0。0。1/",
        "https://[::ffff:10.0.0.1]/", "https://169.254.169.254/latest", "https://example.com:22/", "https://u@example.com/",
    ):  # fmt: skip
        with pytest.raises(WebhookUrlRefused):
            sender.check_url(url)
    for url in (
        "https://example.com/x?y=1",
        "https://example.com:8443/",
        "https://1.1.1.1/",
        "https://bücher.example/",
    ):
        sender.check_url(url)


class Canary:
    """A port of this machine that must get no connection."""

    def __init__(self) -> None:
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()

    def stop(self) -> None:
        self._socket.close()


@pytest.fixture
def canary() -> Iterator[Canary]:
    running = Canary()
    yield running
    running.stop()


class Names(AbstractResolver):
    """Returns these addresses, one list for each query."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: Any = socket.AF_INET
    ) -> list[ResolveResult]:
        found = self.answers.pop(0)
        return [
            ResolveResult(
                hostname=host,
                host=each,
                port=port,
                family=socket.AF_INET6 if ":" in each else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for each in found
        ]

    async def close(self) -> None:
        pass


async def test_resolved_addresses_are_checked_for_each_connection(canary: Canary) -> None:
    """A name that is public once and private the next time, or both at once, causes no connection
    to this machine.
    """
    names = Names(["127.0.0.1"], ["::ffff:127.0.0.1"], ["93.184.216.34", "127.0.0.1"])
    sender = WebhookSender(timeout_seconds=5, allow_private=False, resolver=names)
    url = f"https://rebind.example:{canary.port}/"
    for _ in range(3):
        answer = await sender.send(url, "msg_1", "{}", [b"secret"])
        assert (answer.status_code, answer.error) == (None, "address_refused")
    await sender.close()
    assert names.answers == []  # each connection resolved the name again
    assert canary.connections == 0


async def test_the_address_of_every_socket_is_checked(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as if the URL were parsed differently
    monkeypatch.setattr(client, "objection", lambda url, allow_private: None)
    sender = WebhookSender(timeout_seconds=5, allow_private=False)
    for host in ("127.0.0.1", "[::ffff:127.0.0.1]"):
        answer = await sender.send(f"https://{host}:{canary.port}/", "msg_1", "{}", [b"secret"])
        assert answer.error == "address_refused"
    await sender.close()
    assert canary.connections == 0


async def test_proxies_of_the_environment_are_not_used(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{canary.port}")
    sender = WebhookSender(timeout_seconds=5, allow_private=False, resolver=Names(["127.0.0.1"]))
    await sender.send("https://example.com/", "msg_1", "{}", [b"secret"])
    await sender.close()
    assert canary.connections == 0


async def test_an_endless_or_silent_receiver_costs_at_most_the_timeout() -> None:
    endless = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        connection, _ = endless.accept()
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        except OSError:
            connection.close()

    threading.Thread(target=answer, daemon=True).start()
    patient, hasty = (
        WebhookSender(timeout_seconds=seconds, allow_private=True) for seconds in (60, 0.5)
    )
    url = f"http://127.0.0.1:{endless.getsockname()[1]}/"
    assert (await patient.send(url, "msg_1", "{}", [b"secret"])).status_code == 200
    assert (await hasty.send(url, "msg_1", "{}", [b"secret"])).error == "timeout"
    await patient.close()
    await hasty.close()
    endless.close()


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_stored_webhook_that_is_no_longer_allowed_gets_no_message(
    service: Service, receiver: Receiver
) -> None:
    path = receiver.path()
    service.environment["WEBHOOK_RETRY_SECONDS"] = "0.05"
    service.start(WEBHOOK_ALLOW_PRIVATE="true")
    with service.api() as api:
        hook = api.client.post("/api/v1/webhooks", json={"url": receiver.url(path)}).json()["id"]
    service.kill()
    service.start()
    with service.api() as api:
        refused = api.client.post("/api/v1/webhooks", json={"url": receiver.url(path)})
        assert refused.json()["code"] == "webhook_url_refused"
        api.run(b"id\n1\n")

        def failed() -> Any:
            items = api.client.get(f"/api/v1/webhooks/{hook}/deliveries").json()["items"]
            return items and items[0]["status"] == "failed" and items[0]

        delivery = wait_until(failed)
        assert [attempt["error"] for attempt in delivery["attempts"]] == ["address_refused"] * 2
    assert not receiver.messages[path]
