"""Events cross between processes as plain data and come back the same."""

from __future__ import annotations

import json

import pytest

from edgevit.core.errors import InputError, StepError
from edgevit.core.progress import Advance, Event, FileDone, Stage, Warn, event_from_plain, event_to_plain


@pytest.mark.parametrize(
    "event",
    [Stage("loading"), Stage("running", 12), Advance(), Advance(3), Warn("dark"), FileDone("onnx", "w8")],
)
def test_an_event_crosses_and_comes_back(event: Event) -> None:
    assert event_from_plain(json.loads(json.dumps(event_to_plain(event)))) == event


@pytest.mark.parametrize("data", [{"stage": "loading"}, {"event": "Stages"}, ["Stage"], None])
def test_what_is_no_event_is_refused(data: object) -> None:
    with pytest.raises(StepError, match="no event"):
        event_from_plain(data)


def test_a_field_of_another_type_is_named() -> None:
    with pytest.raises(InputError, match="event: total: expected int, got 'many'"):
        event_from_plain({"event": "Stage", "name": "x", "total": "many"})
