"""The step of a turn: each state of a job, and the one right step."""

from __future__ import annotations

import itertools
from dataclasses import fields
from typing import Any

import pytest

from app.pipeline.steps import MAX_DETACHED_TURNS, JobView, Step, next_step

SPLIT = {"is_split": True}
NOTHING = {"nothing_to_claim": True}


@pytest.mark.parametrize(
    ("situation", "step"),
    [
        # the file is not split yet
        ({}, Step.SPLIT),
        ({"is_shared": True}, Step.SPLIT),
        ({"has_chunks_in_work": True}, Step.SPLIT),
        ({"is_splitting": True}, Step.RUN),
        # its other rows must be counted as not processed
        ({"is_cancelled": True}, Step.SPLIT),
        # chunks to run
        (SPLIT, Step.RUN),
        (SPLIT | {"has_chunks_in_work": True}, Step.RUN),
        (SPLIT | {"has_result": True}, Step.RUN),
        # chunks whose processor waits for a service
        (SPLIT | {"waits_for_service": True}, Step.RUN_DETACHED),
        ({"is_splitting": True, "waits_for_service": True}, Step.RUN_DETACHED),
        (
            SPLIT | {"waits_for_service": True, "detached_turns": MAX_DETACHED_TURNS - 1},
            Step.RUN_DETACHED,
        ),
        (SPLIT | {"waits_for_service": True, "detached_turns": MAX_DETACHED_TURNS}, Step.LEAVE),
        (SPLIT | {"waits_for_service": True, "is_held_up": True}, Step.RUN_DETACHED),
        (SPLIT | {"waits_for_service": True, "is_held_up": True, "detached_turns": 1}, Step.LEAVE),
        # nothing to claim, and the file is not split to its end
        (NOTHING, Step.REQUEUE),
        (NOTHING | {"is_splitting": True}, Step.LEAVE),
        (NOTHING | {"is_shared": True}, Step.LEAVE),
        (NOTHING | {"has_chunks_in_work": True}, Step.LEAVE),
        # nothing to claim, and the file is split
        (NOTHING | SPLIT, Step.FINISH),
        (NOTHING | SPLIT | {"has_chunks_in_work": True}, Step.LEAVE),
        (NOTHING | SPLIT | {"has_result": True}, Step.REDUCE),
        (NOTHING | SPLIT | {"has_result": True, "is_reducing": True}, Step.LEAVE),
        (NOTHING | SPLIT | {"has_result": True, "is_cancelled": True}, Step.FINISH),
        (NOTHING | SPLIT | {"has_result": True, "has_chunks_in_work": True}, Step.LEAVE),
    ],
)
def test_each_state_of_a_job_has_its_step(situation: dict[str, Any], step: Step) -> None:
    assert next_step(JobView(**situation)) is step


def every_view() -> list[JobView]:
    flags = [field.name for field in fields(JobView) if field.name != "detached_turns"]
    return [
        JobView(**dict(zip(flags, values, strict=True)), detached_turns=turns)
        for values in itertools.product((False, True), repeat=len(flags))
        for turns in (0, 1, MAX_DETACHED_TURNS)
    ]


def test_a_job_ends_only_when_it_is_split_and_has_no_chunk_in_flight() -> None:
    for view in every_view():
        if next_step(view) in (Step.FINISH, Step.REDUCE):
            assert view.is_split, view
            assert view.nothing_to_claim, view
            assert not view.has_chunks_in_work, view
            assert not view.is_reducing, view


def test_a_token_is_dropped_only_if_another_is_queued() -> None:
    for view in every_view():
        if next_step(view) is Step.LEAVE:
            others_at_work = (
                view.has_chunks_in_work or view.is_reducing or view.is_splitting or view.is_shared
            )
            assert others_at_work or view.detached_turns, view


def test_a_file_is_never_split_twice_at_a_time() -> None:
    assert not [
        view for view in every_view() if view.is_splitting and next_step(view) is Step.SPLIT
    ]
