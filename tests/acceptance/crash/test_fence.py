"""One process serves a database."""

from __future__ import annotations

from tests.acceptance.crash.conftest import MakeService
from tests.crash.service import Input


def test_a_second_service_on_the_database_is_refused(make_service: MakeService) -> None:
    service = make_service().start()
    other = make_service()
    other.launch()
    assert other.process is not None
    assert other.process.wait(30)
    assert "Another process serves this database already" in other.log.read_text()
    with service.api() as api:
        assert api.run(Input.clean(200).data)["status"] == "completed"
