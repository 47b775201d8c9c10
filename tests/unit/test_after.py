"""What callers may say about the jobs that a new one comes after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cronq.client.after import chained, prepared, taken
from cronq.errors import InvalidInput
from cronq.model.after import AFTER_END, AFTER_FAILURE
from cronq.model.dependencies import After, Related, first_unmet, reason, root_of
from cronq.model.job import NewJob


def prepare(spec: Mapping[str, Any]) -> NewJob:
    rest = dict(spec)
    return NewJob(rest.pop("task"), after=taken(rest))


def test_ids_in_every_form() -> None:
    assert taken({"after": [1, "2"], "after_end": 3}) == (After(1), After(2), After(3, AFTER_END))
    assert taken({"after": ["batch:7"]}) == (After(-7),)
    assert taken({"after_failure": "4", "after_missing": "ignore"}) == (After(4, AFTER_FAILURE, must_exist=False),)


@pytest.mark.parametrize("value", ["load", "batch:x", "batch:0", 0, -1, True, 1.5, "2³", 2**63, [None]])
def test_what_is_no_id(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"after: expected the id of a (job, or batch:ID|batch): got "):
        taken({"after": value})
    with pytest.raises(InvalidInput, match="after_missing: expected 'refuse' or 'ignore'"):
        taken({"after": 1, "after_missing": "maybe"})


def test_refs_in_any_order() -> None:
    specs: list[dict[str, Any]] = [
        {"task": "b", "after": ["a", 7]},
        {"task": "a", "ref": "a"},
        {"task": "c", "after_end": "a"},
    ]
    found = prepared(specs, prepare)
    assert [job.after for job in found] == [
        (After(7), After(1, here=True)),
        (),
        (After(1, AFTER_END, here=True),),
    ]


def test_bad_refs() -> None:
    with pytest.raises(InvalidInput, match="refs: after 'lod': no job of this call has that ref"):
        prepared([{"task": "a", "ref": "load"}, {"task": "b", "after": "lod"}], prepare)
    with pytest.raises(InvalidInput, match="job 2: ref: 'a' is given twice"):
        prepared([{"task": "a", "ref": "a"}, {"task": "b", "ref": "a"}], prepare)
    with pytest.raises(InvalidInput, match=r"job 1: ref: expected a text that is no number and .*: got '1'"):
        prepared([{"task": "a", "ref": "1"}], prepare)
    with pytest.raises(InvalidInput, match="begin with batch:: got 'batch:7'"):
        prepared([{"task": "a", "ref": "batch:7"}], prepare)
    circle = [{"task": "t", "ref": "a", "after": "b"}, {"task": "t", "ref": "b", "after": "a"}]
    with pytest.raises(
        InvalidInput, match=r"refs: jobs come after each other in a circle: (a after b after a|b after a after b)"
    ):
        prepared(circle, prepare)
    with pytest.raises(InvalidInput, match="in a circle: a after a"):
        prepared([{"task": "t", "ref": "a", "after": "a"}], prepare)


def test_a_chain() -> None:
    jobs = chained([NewJob("a"), NewJob("b", after=(After(9),)), NewJob("c")])
    assert [job.after for job in jobs] == [(), (After(9), After(0, here=True)), (After(1, here=True),)]
    assert chained([]) == []


def test_the_root_of_a_cascade_is_named_all_the_way_down() -> None:
    why = reason(Related(1, "after", "failed"))
    assert first_unmet([Related(3, "after", None), Related(2, "after", "cancelled", reason=why)])
    assert reason(Related(2, "after", "cancelled", reason=why)) == why == "job 1, which it comes after, failed"
    assert root_of(why) == "1"
    assert root_of(reason(Related(-7, "after", "failed"))) == "--batch 7 --state failed,cancelled"
    assert root_of(reason(Related(1, AFTER_FAILURE, "finished"))) is None
