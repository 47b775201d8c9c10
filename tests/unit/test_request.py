"""One line each: a job's id in, an answer out. Every line is an id or malformed."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronq.inetd.request import LONGEST, Client, job_id
from tests.integration.serving import JUNK


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    with here, there:
        yield here, there


@pytest.mark.parametrize("line", [b"42\n", b"42\r\n", b"42", b"42\r", b"00042\n", b"42\nmore\n", b"42\n\xff"])
def test_an_id(line: bytes) -> None:
    assert job_id(line) == 42


@pytest.mark.parametrize("line", [pytest.param(line, id=what) for what, line in JUNK.items()])
def test_junk(line: bytes) -> None:
    assert job_id(line) is None


@given(st.binary(max_size=80))
def test_nothing_but_ascii_digits_is_an_id(line: bytes) -> None:
    found = job_id(line)
    if found is not None:
        first = line[:LONGEST].split(b"\n")[0].removesuffix(b"\r")
        assert set(first) <= set(b"0123456789")
        assert first.lstrip(b"0") == (b"%d" % found if found else b"")
        assert found < 10**18


@given(st.integers(min_value=0, max_value=10**18 - 1), st.sampled_from([b"", b"\n", b"\r\n", b"\r", b"\nx"]))
def test_every_id_is_understood(number: int, end: bytes) -> None:
    assert job_id(b"%d" % number + end) == number


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
def test_a_line_in_pieces_is_the_same_line(pieces: list[bytes]) -> None:
    here, there = socket.socketpair()
    with here, there:
        caller = Client(here.fileno())
        for piece in pieces:
            if caller.complete:
                break
            there.sendall(piece)
            caller.read()
        there.shutdown(socket.SHUT_WR)
        caller.wait()
        assert caller.complete
        assert job_id(caller.line) == job_id(b"".join(pieces))


def test_the_answer_is_the_last_word(ends: tuple[socket.socket, socket.socket]) -> None:
    here, there = ends
    there.sendall(b"x" * 100_000)
    caller = Client(here.fileno())
    caller.wait()
    assert len(caller.line) == LONGEST
    caller.answer("ERR malformed")
    assert caller.drain()
    assert (there.recv(100), there.recv(100)) == (b"ERR malformed\n", b"")


def test_who_says_nothing_asks_nothing(ends: tuple[socket.socket, socket.socket]) -> None:
    here, there = ends
    there.shutdown(socket.SHUT_WR)
    caller = Client(here.fileno())
    caller.wait()
    assert caller.asks_nothing


def test_patience_is_for_the_whole_line(ends: tuple[socket.socket, socket.socket]) -> None:
    here, there = ends
    there.sendall(b"4")
    caller = Client(here.fileno(), patience=0.05)
    caller.wait()
    assert (caller.complete, caller.line) == (False, b"4")
