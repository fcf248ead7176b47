"""kill -9 at random times during uploads, splits and writes: in the end every row is stored
once.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field

import pytest

from tests.crash.service import Input, Service, assert_disk_agrees, assert_exact, post
from tests.harness import FINAL

BIG_ROWS, SMALL_ROWS = 60_000, 300


@dataclass
class Torment:
    """Uploads files while the service dies."""

    service: Service
    rng: random.Random
    given: dict[str, Input] = field(default_factory=dict)
    """All sent files by sha256."""
    acknowledged: set[str] = field(default_factory=set)
    deaths_at_work: int = 0

    def live_and_die(self, number: int) -> None:
        """One life. It ends at any moment: while it starts, recovers, receives files or processes
        them.
        """
        small = Input.clean(SMALL_ROWS, f"small {number}")
        if self.rng.random() < 0.2:
            self.service.launch()
            time.sleep(self.rng.uniform(0, 0.4))
            self.service.kill()
            return
        self.service.start()
        if not self.has_work():
            assert self.send(Input.clean(BIG_ROWS, f"big {number}"))
        death = threading.Timer(self.rng.uniform(0.05, 0.8), self.service.kill)
        death.start()
        self.send(small)
        death.join()
        self.deaths_at_work += self.has_work()

    def send(self, data: Input) -> bool:
        """Upload; return False if the service died before it responded."""
        self.given[data.sha256] = data
        with self.service.api() as api:
            answer = post(api, data, chunk_size=100)
        if answer is not None:
            assert answer["sha256"] == data.sha256
            self.acknowledged.add(answer["file_id"])
        return answer is not None

    def has_work(self) -> bool:
        return any(status not in FINAL for (status,) in self.service.sql("SELECT status FROM jobs"))


def torment(service: Service, kills: int, patience: float) -> None:
    seed = random.randrange(1 << 32)
    print(f"{service.url.partition(':')[0]}, seed {seed}")  # noqa: T201
    run = Torment(service, random.Random(seed))
    for number in range(kills):
        run.live_and_die(number)
    service.start()
    files = service.files()
    with service.api() as api:
        for file_id in files:
            api.finished(file_id, patience)

    assert run.acknowledged <= set(files)
    assert set(files.values()) <= set(run.given)
    assert run.deaths_at_work > kills / 3  # otherwise the test proves little
    with service.api() as api:
        for file_id, sha256 in files.items():
            assert_exact(service, api, file_id, run.given[sha256])
    assert service.sql("SELECT count(*) FROM chunks WHERE status IN ('pending', 'processing')") == [
        (0,)
    ]
    # no chunk is the cause
    assert service.sql("SELECT error FROM chunks WHERE status = 'failed'") == []
    service.kill()
    service.sweep()
    assert_disk_agrees(service)
    if service.is_sqlite:
        assert service.sql("PRAGMA integrity_check") == [("ok",)]
    print(  # noqa: T201
        f"{len(files)} files, {len(run.given) - len(files)} uploads cut short, {run.deaths_at_work}"
        " deaths at work"
    )


def test_a_dozen_kills_lose_nothing_and_repeat_nothing(service: Service) -> None:
    torment(service, 12, patience=60)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_two_hundred_kills_lose_nothing_and_repeat_nothing(service: Service) -> None:
    torment(service, 200, patience=600)
