"""Provide the statements on cronq's tables, by subject, as texts that can be pasted into EXPLAIN.

`?` stands for a parameter; a list of ids or names is one parameter, which the database's `many` makes.
"""

from __future__ import annotations

from cronq.storage.sql.dialect import Names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cronq.storage.sql.actions import ActionStatements
    from cronq.storage.sql.admin import AdminStatements
    from cronq.storage.sql.batches import BatchStatements
    from cronq.storage.sql.claim import ClaimStatements
    from cronq.storage.sql.edit import EditStatements
    from cronq.storage.sql.enqueue import EnqueueStatements
    from cronq.storage.sql.flow import FlowStatements
    from cronq.storage.sql.groups import GroupStatements
    from cronq.storage.sql.incidents import IncidentStatements
    from cronq.storage.sql.leader import LeaderStatements
    from cronq.storage.sql.leases import LeaseStatements
    from cronq.storage.sql.limits import LimitStatements
    from cronq.storage.sql.live_output import LiveOutputStatements
    from cronq.storage.sql.minutes import MinuteStatements
    from cronq.storage.sql.progress import ProgressStatements
    from cronq.storage.sql.reads import ReadStatements
    from cronq.storage.sql.runs import RunStatements
    from cronq.storage.sql.schedules import ScheduleStatements
    from cronq.storage.sql.settle import SettleStatements
    from cronq.storage.sql.workers import WorkerStatements


_SUBJECTS = {
    "actions": "ActionStatements",
    "admin": "AdminStatements",
    "batches": "BatchStatements",
    "claim": "ClaimStatements",
    "edit": "EditStatements",
    "enqueue": "EnqueueStatements",
    "flow": "FlowStatements",
    "groups": "GroupStatements",
    "incidents": "IncidentStatements",
    "leader": "LeaderStatements",
    "leases": "LeaseStatements",
    "limits": "LimitStatements",
    "live_output": "LiveOutputStatements",
    "minutes": "MinuteStatements",
    "progress": "ProgressStatements",
    "reads": "ReadStatements",
    "runs": "RunStatements",
    "schedules": "ScheduleStatements",
    "settle": "SettleStatements",
    "workers": "WorkerStatements",
}


class Statements:
    """The statements on the tables with one prefix; those of a subject are built at their first use."""

    actions: ActionStatements
    admin: AdminStatements
    batches: BatchStatements
    claim: ClaimStatements
    edit: EditStatements
    enqueue: EnqueueStatements
    flow: FlowStatements
    groups: GroupStatements
    incidents: IncidentStatements
    leader: LeaderStatements
    leases: LeaseStatements
    limits: LimitStatements
    live_output: LiveOutputStatements
    minutes: MinuteStatements
    progress: ProgressStatements
    reads: ReadStatements
    runs: RunStatements
    schedules: ScheduleStatements
    settle: SettleStatements
    workers: WorkerStatements

    def __init__(self, prefix: str, family: str = "sqlite") -> None:
        self.names = Names(prefix, family)
        self.dialect = self.names.dialect

    if not TYPE_CHECKING:

        def __getattr__(self, subject: str) -> object:
            if subject not in _SUBJECTS:
                raise AttributeError(subject)
            module = __import__(f"cronq.storage.sql.{subject}", fromlist=[_SUBJECTS[subject]])
            made = vars(self)[subject] = getattr(module, _SUBJECTS[subject])(self.names)
            return made
