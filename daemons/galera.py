"""Run a private Galera cluster: two MariaDB servers on this machine that both take writes."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from daemons.databases import Running, free_port

PROVIDER = next(map(str, Path("/usr").glob("lib*/galera*/libgalera_smm.so")), None)
"""The path of the library of Debian's galera-4; None if it isn't installed."""


class Node(Running):
    """One server of a cluster: the first one founds it, the others fetch all data from the founder."""

    def __init__(self, place: Path, *, founder: Node | None = None) -> None:
        self._group, incremental, whole = free_port(), free_port(), free_port()
        cluster = f"gcomm://127.0.0.1:{founder._group}" if founder else "gcomm://"
        options = [
            "--wsrep-on=ON", f"--wsrep-provider={PROVIDER}", f"--wsrep-cluster-address={cluster}",
            f"--wsrep-node-address=127.0.0.1:{self._group}", "--wsrep-slave-threads=2",
            f"--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{self._group};"
            f"ist.recv_addr=127.0.0.1:{incremental};gcache.size=32M",
            "--wsrep-sst-method=rsync", f"--wsrep-sst-receive-address=127.0.0.1:{whole}",
            "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2", "--innodb-buffer-pool-size=64M",
        ]  # fmt: skip
        super().__init__("mariadb", place, options=options if founder else [*options, "--wsrep-new-cluster"])


@contextlib.contextmanager
def cluster() -> Iterator[tuple[Node, Node]]:
    """Yield two servers that run until the end of the block."""
    place = Path(tempfile.mkdtemp(prefix="cronq-"))
    place.chmod(0o755)
    first = Node(place / "first")
    second = Node(place / "second", founder=first)
    try:
        first.make()
        second.join()
        yield first, second
    finally:
        second.remove()
        first.remove()
        shutil.rmtree(place, ignore_errors=True)
