"""Call a function after a caller's own COMMIT, and not after a ROLLBACK.

SQLAlchemy has an event before a connection's COMMIT, but none after it, and a Session's `after_commit`
also comes where an outer transaction goes on. So the connection's private commit methods are wrapped, and
a savepoint that is rolled back removes the actions added inside it. If a later SQLAlchemy commits in another
way, wake-ups are lost with a warning, and the tests fail.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from cronq.system.log import log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_COMMITS = ("_commit_impl", "_commit_twophase_impl")
_OURS = "_cronq_afterwards"


def after_commit(connection: Any, action: Callable[[], object]) -> None:
    """Call `action` once the transaction of this SQLAlchemy Connection or Session is committed.

    The action must not raise.
    """
    opened = connection.connection() if hasattr(connection, "get_bind") else connection
    if opened.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        action()
        return
    try:
        pending = vars(opened).get(_OURS) or _followed(opened)
        pending.actions.append((action, frozenset(_savepoints(opened))))
    except AttributeError as error:
        _warn(str(error))


@cache
def _warn(problem: str) -> None:
    log.warning(
        "this SQLAlchemy doesn't show when it has committed, workers find the jobs at their next look: %s", problem
    )


def _followed(connection: Any) -> _Pending:
    pending = _Pending()
    pending.follow(connection)
    setattr(connection, _OURS, pending)
    return pending


def _savepoints(connection: Any) -> Iterator[str]:
    """Return the names of the savepoints that are open now."""
    nested = connection.get_nested_transaction()
    while nested is not None:
        yield nested._savepoint
        nested = nested._previous_nested


class _Pending:
    """The actions that wait for one connection's COMMIT."""

    def __init__(self) -> None:
        self.actions: list[tuple[Callable[[], object], frozenset[str]]] = []
        """Each with the names of the savepoints that were open when it was added."""

    def follow(self, connection: Any) -> None:
        """Listen to this connection's rollbacks, and wrap its commit methods."""
        from sqlalchemy import event  # the caller has imported it already

        commits = {name: getattr(connection, name) for name in _COMMITS}
        event.listen(connection, "rollback_savepoint", self._go_back)
        event.listen(connection, "rollback", self._forget)
        event.listen(connection, "rollback_twophase", self._forget)
        for name, commit in commits.items():
            setattr(connection, name, self._followed(commit))

    def _followed(self, commit: Callable[..., None]) -> Callable[..., None]:
        def followed(*args: Any, **options: Any) -> None:
            try:
                commit(*args, **options)
            except BaseException:
                self._forget()
                raise
            self._act()

        return followed

    def _act(self) -> None:
        actions = self.actions
        self._forget()
        for action, _ in actions:
            action()

    def _go_back(self, _connection: Any, name: str, _context: Any) -> None:
        self.actions = [(action, savepoints) for action, savepoints in self.actions if name not in savepoints]

    def _forget(self, *_: Any) -> None:
        self.actions = []
