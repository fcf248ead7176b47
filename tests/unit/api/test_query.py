"""Parameters of a query that a route does not have, and the sentence that names them."""

from __future__ import annotations

from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Query
from pydantic import BaseModel, ConfigDict

from app.api import errors
from app.api.parameters import checked_query


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    status: str = ""


async def page(limit: int = 10) -> int:
    return limit


def small_app() -> FastAPI:
    app = FastAPI()
    errors.install(app)
    router = APIRouter(dependencies=[Depends(checked_query)])

    @router.get("/plain")
    async def plain(
        limit: Annotated[int, Depends(page)],
        status: str = "",
        sort_by: Annotated[str, Query(alias="sort-by")] = "",
        label: Annotated[list[str], Query()] = [],  # noqa: B006, FastAPI copies it
    ) -> dict[str, Any]:
        return {"limit": limit, "status": status, "sort": sort_by, "label": label}

    @router.get("/model")
    async def model(options: Annotated[Options, Query()]) -> str:
        return options.status

    app.router.routes.extend(router.routes)
    return app


async def get(url: str) -> httpx.Response:
    transport = httpx.ASGITransport(small_app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(url)


async def test_declared_parameters_are_accepted_also_those_of_dependencies() -> None:
    response = await get("/plain?limit=5&status=queued&sort-by=name&label=a&label=b")
    assert response.json() == {
        "limit": 5,
        "status": "queued",
        "sort": "name",
        "label": ["a", "b"],
    }


@pytest.mark.parametrize(
    ("url", "pointers"),
    [
        ("/plain?colour=red", ["query/colour"]),
        ("/plain?status=queued&statsu=running", ["query/statsu"]),
        ("/plain?sort_by=name", ["query/sort_by"]),  # the name is that of the query
        ("/plain?x=1&y=2", ["query/x", "query/y"]),
        ("/plain?Status=queued", ["query/Status"]),
        ("/model?colour=red", ["query/colour"]),
    ],
)
async def test_an_unknown_parameter_is_refused_by_name(url: str, pointers: list[str]) -> None:
    response = await get(url)
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == pointers
    assert {error["code"] for error in response.json()["errors"]} == {"extra_forbidden"}


async def test_a_misspelt_parameter_gets_the_nearest_name() -> None:
    detail = (await get("/plain?statsu=queued")).json()["errors"][0]["detail"]
    assert "Did you mean" in detail
    assert "status" in detail


async def test_a_parameter_given_twice_is_refused() -> None:
    response = await get("/plain?status=queued&status=running")
    assert response.status_code == 422
    assert response.json()["errors"][0]["code"] == "repeated"


def detail_of(*names: str) -> str:
    return errors.invalid(
        {"type": "int_parsing", "loc": ("query", name), "msg": f"{name} is no number"}
        for name in names
    ).detail


def test_the_sentence_gives_the_reasons() -> None:
    assert detail_of("a", "b") == "Invalid parameters: a: a is no number; b: b is no number."


def test_the_sentence_gives_three_reasons_and_counts_the_others() -> None:
    detail = detail_of("a", "b", "c", "d", "e")
    assert detail.endswith("c: c is no number; and 2 more.")
    assert "d is no number" not in detail


def test_two_faults_of_a_parameter_are_one_reason() -> None:
    assert detail_of("a", "a") == "Invalid parameters: a: a is no number."
