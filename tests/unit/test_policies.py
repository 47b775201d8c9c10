from __future__ import annotations

from cronq.config.loader import from_database
from cronq.model.retry import Policies, Policy
from cronq.tasks.registry import Registry, Task, TaskOptions
from tests.unit.claims import claimed


def policies(options: TaskOptions | None = None, **config: object) -> Policies:
    registry = Registry()
    if options is not None:
        registry.add(Task("task", lambda: None, options))
    return Policies(from_database("sqlite:////nowhere/q.db").with_values("the test", **config), registry)


def test_defaults_are_the_config_s() -> None:
    assert policies().of(claimed()) == Policy()
    assert policies(retry={"base": "5s"}, wait_cap="1h").of(claimed()) == Policy(base=5.0, wait_cap=3600.0)


def test_the_task_s_code_then_its_config_then_the_job() -> None:
    options = TaskOptions(base=1.0, cap=2.0, jitter=0.5, on_crash="fail")
    found = policies(options, tasks={"task": {"cap": "3s", "jitter": 0.25}}).of(claimed(retry='{"jitter": 0.125}'))
    assert (found.base, found.cap, found.jitter, found.on_crash) == (1.0, 3.0, 0.125, "fail")


def test_a_job_s_own_rules_are_not_its_task_s() -> None:
    rules = policies()
    assert rules.of(claimed(retry='{"base": 1}')).base == 1
    assert rules.of(claimed()).base == 60.0


def test_time_limit() -> None:
    rules = policies(TaskOptions(time_limit=5.0))
    assert rules.time_limit(claimed()) == 5.0
    assert rules.time_limit(claimed(time_limit=0.5)) == 0.5
    assert rules.time_limit(claimed(task="other")) == 3600.0
