"""What is found of other processes while they go on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from cronq.system import process_tree

HOLDER = """
import fcntl, os, sys
low = os.open(os.devnull, os.O_RDONLY)
held = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(held, fcntl.LOCK_EX)
print("held", flush=True)
while os.getppid() == int(sys.argv[2]):
    os.close(low)
    assert os.open(os.devnull, os.O_RDONLY) == low
"""
"""Holds a lock, and opens and closes a descriptor with a lower number, which is looked at before it, all the time."""


def test_a_holder_is_found_while_it_closes_other_descriptors(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    holder = [sys.executable, "-c", HOLDER, str(lock), str(os.getpid())]
    with subprocess.Popen(holder, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            assert process_tree.holders(str(lock)) == {process.pid}
            assert all(process_tree._holds(process.pid, lock.stat()) for _ in range(2000))
        finally:
            process.kill()
    assert process_tree.holders(str(lock)) == set()
