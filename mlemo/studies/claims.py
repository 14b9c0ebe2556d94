"""Who does which run: one table in an SQL database, shared by all workers of a study on any number of machines.

A queue for hyper-parameter trials (Optuna's) was looked at and left: it claims a trial by reading and then writing its
state, which SQLite lets two workers do at once, its journal on a shared folder has no heartbeat, and nothing keeps a
worker that was taken for dead from finishing. Here every change of hands is one conditional statement of the database.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import sqlalchemy as sql
from sqlalchemy.engine import Row

__all__ = ["Claims"]

METADATA = sql.MetaData()
RUNS = sql.Table(
    "mlemo_runs",
    METADATA,
    sql.Column("address", sql.String(64), primary_key=True),
    sql.Column("state", sql.String(16), nullable=False),  # running, done, failed
    sql.Column("owner", sql.String(255), nullable=False),
    sql.Column("beats", sql.Integer, nullable=False),
    sql.Column("text", sql.Text, nullable=False),  # the record of a run that is done, the last lines of a failed one
)


@dataclass
class Claims:
    """The table of claims, as one worker process sees it.

    A worker that is alive adds one to ``beats`` again and again. Another one takes its run when that number stood still
    for ``grace`` seconds of its own clock (so that clocks of machines need not agree), or at once when the owner was a
    process of this machine that is gone.

    Args:
        url: A database as SQLAlchemy names it, such as ``sqlite:////folder/runs.db`` or ``postgresql://host/name``. An
            SQLite file on a network folder needs a file system with working locks.
        grace: Seconds without a beat after which an owner is taken for dead.

    Raises:
        ValueError: The database cannot be opened.
    """

    url: str
    grace: float = 120.0
    owner: str = field(default_factory=lambda: f"{_host()}:{os.getpid()}:{uuid.uuid4().hex}")
    _seen: dict[str, tuple[str, int, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Open the database and make the table where it is missing."""
        try:
            arguments = {"timeout": 60} if self.url.startswith("sqlite") else {}
            self._engine = sql.create_engine(self.url, connect_args=arguments)
            try:
                METADATA.create_all(self._engine)
            except sql.exc.OperationalError:
                METADATA.create_all(self._engine)  # another worker has just made it
        except (sql.exc.SQLAlchemyError, ImportError) as error:
            raise ValueError(f"--storage {self.url}: {error}") from error

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def states(self) -> dict[str, tuple[str, str]]:
        """State and text of every run that is or was claimed, by address."""
        with self._engine.begin() as connection:
            return {row.address: (row.state, row.text) for row in connection.execute(sql.select(RUNS))}

    def take(self, address: str, retry_failed: bool = False) -> bool:
        """Claim a run; False where another worker has it, or it is done, or it failed and is not to be tried again."""
        fresh = {"state": "running", "owner": self.owner, "beats": 0, "text": ""}
        with self._engine.begin() as connection:
            row = connection.execute(sql.select(RUNS).where(RUNS.c.address == address)).one_or_none()
        if row is None:
            try:
                with self._engine.begin() as connection:
                    connection.execute(sql.insert(RUNS).values(address=address, **fresh))
            except sql.exc.IntegrityError:  # another worker was faster
                return False
            return True
        free = {"running": self._abandoned(row), "failed": retry_failed}.get(row.state, False)
        if not free:
            return False
        unchanged = (RUNS.c.state == row.state) & (RUNS.c.owner == row.owner) & (RUNS.c.beats == row.beats)
        with self._engine.begin() as connection:
            taken = connection.execute(sql.update(RUNS).where(RUNS.c.address == address, unchanged).values(**fresh))
        return taken.rowcount == 1

    def beat(self, address: str) -> bool:
        """Say that this worker is alive; False where the run was taken from it."""
        with self._engine.begin() as connection:
            beaten = connection.execute(sql.update(RUNS).where(self._mine(address)).values(beats=RUNS.c.beats + 1))
        return beaten.rowcount == 1

    def finish(self, address: str, state: str, text: str, write: Callable[[], object] = lambda: None) -> bool:
        """Give the result of a run, unless it was taken from this worker.

        Args:
            address: The run.
            state: ``done`` or ``failed``.
            text: Its record, or why it failed.
            write: Called while the database holds the run for this worker, so that only one ever writes a record.

        Returns:
            Whether it was still this worker's.
        """
        with self._engine.begin() as connection:
            finished = connection.execute(sql.update(RUNS).where(self._mine(address)).values(state=state, text=text))
            if finished.rowcount == 1:
                write()
        return finished.rowcount == 1

    def release(self, address: str) -> None:
        """Give a run back, unfinished."""
        with self._engine.begin() as connection:
            connection.execute(sql.delete(RUNS).where(self._mine(address)))

    def forget(self, address: str, text: str) -> None:
        """Let a run that was done be run again, unless that has happened since it gave this text."""
        with self._engine.begin() as connection:
            done = (RUNS.c.address == address) & (RUNS.c.state == "done") & (RUNS.c.text == text)
            connection.execute(sql.delete(RUNS).where(done))

    def _mine(self, address: str) -> sql.ColumnElement[bool]:
        return (RUNS.c.address == address) & (RUNS.c.owner == self.owner) & (RUNS.c.state == "running")

    def _abandoned(self, row: Row) -> bool:
        host, pid, _ = row.owner.rsplit(":", 2)
        if host == _host() and not _is_alive(int(pid)):
            return True
        now = time.monotonic()
        owner, beats, since = self._seen.get(row.address, ("", -1, now))
        if (owner, beats) != (row.owner, row.beats):
            since = now
        self._seen[row.address] = (row.owner, row.beats, since)
        return now - since > self.grace


def _host() -> str:
    return f"{socket.gethostname()}-{uuid.getnode():x}"  # the network address too: many machines share a host name


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
