"""Shell commands as jobs: what their ends mean, what they print, what they know, and when they may run."""

from __future__ import annotations

import json
import re
import time

import pytest

from tests.integration.running import Queue


@pytest.mark.parametrize(
    ("command", "state", "attempt", "message"),
    [
        ("exit 0", "finished", 1, None),
        ("exit 1", "retrying", 1, "exit status 1"),
        ("echo first >&2; echo 'no such shop' >&2; exit 2", "retrying", 1, "exit status 2: no such shop"),
        ("echo >&2; exit 2", "retrying", 1, "exit status 2"),
        ("exit 75", "waiting", 0, "exit status 75"),
        ("exit 100", "failed", 1, "exit status 100"),
        ("/etc/passwd", "retrying", 1, "exit status 126: .*"),
        ("no-such-program", "retrying", 1, "exit status 127: .*not found"),
        (["no-such-program"], "retrying", 1, "exit status 127: no-such-program: No such file or directory"),
        (["/etc/passwd"], "retrying", 1, "exit status 126: /etc/passwd: Permission denied"),
        ("kill -SEGV $$", "retrying", 1, "the command died of SIGSEGV"),
        ("kill -KILL $$", "retrying", 1, "the command died of SIGKILL"),
        ("kill -TERM $$", "retrying", 1, "the command died of SIGTERM"),
        ("kill -9 $PPID", "retrying", 1, "job process killed: SIGKILL"),
        ("kill -9 0", "retrying", 1, "job process killed: SIGKILL"),
    ],
)
def test_how_it_ends_is_what_becomes_of_the_job(
    queue: Queue, command: str | list[str], state: str, attempt: int, message: str | None
) -> None:
    job = queue.command(command)
    after = queue.put("nothing")
    queue.run("--jobs", 1)
    row = queue.row(job)
    assert (row["state"], row["attempt"]) == (state, attempt)
    assert re.fullmatch(message, row["error_message"]) if message else row["error_message"] is None
    assert queue.state(after) == "finished"


def test_the_attempt_remembers_exit_status_and_signal(queue: Queue) -> None:
    status, killed = queue.command("exit 3"), queue.command("kill -USR1 $$")
    queue.run_silently()
    assert (queue.attempt(status)["exit_status"], queue.attempt(status)["signal"]) == (3, None)
    assert (queue.attempt(killed)["exit_status"], queue.attempt(killed)["signal"]) == (None, "SIGUSR1")


def test_asked_again_a_minute_after_exit_75(queue: Queue) -> None:
    job, before = queue.command("exit 75"), time.time()
    queue.run_silently()
    row = queue.row(job)
    assert row["snoozes"] == 1
    assert before + 59 < row["available_at"] / 1e6 < time.time() + 61


@pytest.mark.parametrize("succeeds", [True, False])
def test_output_is_kept_and_never_cronqs_own(queue: Queue, succeeds: bool) -> None:
    job = queue.command(
        f"echo out; echo err >&2; echo more > /dev/stderr; echo last > /dev/stdout; exit {1 - succeeds}"
    )
    ran = queue.run("-v")
    assert "out" not in ran.stderr.replace("without", "")
    kept = queue.row(job) if succeeds else queue.attempt(job)
    assert (kept["stdout"], kept["stderr"]) == ("out\nlast\n", "err\nmore\n")


def test_stdin_is_empty(queue: Queue) -> None:
    job = queue.command("cat; echo $?")
    queue.run_silently()
    assert queue.row(job)["stdout"] == "0\n"


@pytest.mark.parametrize(
    "background",
    ["sleep 30 &", "(while :; do echo again || exit; sleep 0.01; done) &", "yes &", "yes >&2 & yes &"],
)
def test_what_it_leaves_in_the_background_does_not_hold_the_run(queue: Queue, background: str) -> None:
    job = queue.command(f"echo done; {background} exit 0", time_limit=20)
    queue.run_silently()
    row = queue.row(job)
    assert (row["state"], row["outcome"]) == ("finished", "success")
    assert row["finished_at"] - row["started_at"] < 15e6
    assert row["stdout"].startswith("done\n")


def test_it_knows_its_job(queue: Queue) -> None:
    job = queue.command("env", key="k 1", group="g", queue="q")
    plain = queue.command(["env"])
    queue.run_silently()

    def known(job: int) -> dict[str, str]:
        lines = [line.partition("=") for line in queue.row(job)["stdout"].splitlines()]
        return {name: value for name, _, value in lines if name.startswith("CRONQ_JOB_")}

    assert known(job) == {
        "CRONQ_JOB_ID": str(job),
        "CRONQ_JOB_ATTEMPT": "1",
        "CRONQ_JOB_QUEUE": "q",
        "CRONQ_JOB_KEY": "k 1",
        "CRONQ_JOB_GROUP": "g",
    }
    assert known(plain) == {"CRONQ_JOB_ID": str(plain), "CRONQ_JOB_ATTEMPT": "1", "CRONQ_JOB_QUEUE": "default"}


def test_a_list_is_no_business_of_a_shell(queue: Queue) -> None:
    shell = queue.command("echo $((6 * 7)) | tr 4 5")
    program = queue.command(["echo", "$((6 * 7))", "|", "it's", "*"])
    queue.run_silently()
    assert queue.row(shell)["stdout"] == "52\n"
    assert queue.row(program)["stdout"] == "$((6 * 7)) | it's *\n"


_STANDARD = 0x7FFFFFFF
"""The signals 1 to 31; what ignores others (32 is the C library's own) does so for all it starts."""


def test_signals_are_as_a_program_expects_them(queue: Queue) -> None:
    pipe = queue.command("yes | head -n 1")
    blocked = queue.command("grep -E '^Sig(Blk|Ign)' /proc/self/status")
    queue.run_silently()
    assert queue.row(pipe)["stdout"] == "y\n"
    masks = dict(line.split() for line in queue.row(blocked)["stdout"].splitlines())
    assert {int(mask, 16) & _STANDARD for mask in masks.values()} == {0}


def test_no_descriptors_but_its_own_and_the_lock_of_the_attempt(queue: Queue) -> None:
    job = queue.command(["sh", "-c", "ls /proc/$$/fd"])
    queue.run_silently()
    assert set(queue.row(job)["stdout"].split()) <= {"0", "1", "2", "10", "100"}, "10 is the shell's own"


def test_resources_are_the_commands_own(queue: Queue) -> None:
    job = queue.command(["python3", "-c", "b'x' * 90_000_000"])
    queue.run_silently()
    row = queue.row(job)
    assert row["peak_memory"] > 90_000_000
    assert 0 < row["cpu_time"] < 10


def test_an_empty_path_is_no_reason_to_crash(queue: Queue) -> None:
    job, found = queue.command(["env"]), queue.command(["/bin/echo", "found"])
    python = queue.project.environment
    ran = queue.project.start("run", env={**python, "PATH": ""})
    assert ran.wait(timeout=60) == 0
    ran.communicate()
    assert queue.attempt(job)["error_message"].startswith("exit status 127: env: ")
    assert queue.row(found)["stdout"] == "found\n"


@pytest.mark.parametrize("wording", ["\0", "echo a\0b"])
def test_a_nul_in_a_command_is_an_error_of_that_job(queue: Queue, wording: str) -> None:
    job, after = queue.command("true"), queue.put("nothing")
    queue.sql("UPDATE cronq_jobs SET args = ? WHERE id = ?", json.dumps({"command": wording}), job)
    queue.run("--jobs", 1)
    assert queue.state(job) in {"retrying", "failed"}
    assert "null" in queue.attempt(job)["error_message"]
    assert queue.state(after) == "finished"


def test_commands_from_a_file_that_others_can_write_wait_until_they_are_allowed(queue: Queue) -> None:
    jobs = [queue.command("touch here", max_attempts=1), queue.command("true", max_attempts=1)]
    queue.project.database.chmod(0o666)
    told = queue.run().stderr
    assert told.count("\n") == 1
    assert "jobs wait until it is allowed: jobs may not be shell commands: others can write " in told
    row = queue.row(jobs[0])
    assert (row["state"], row["attempt"], row["waiting_since"]) == ("waiting", 0, None)
    assert "jobs may not be shell commands: others can write " in queue.project.cronq("why", str(jobs[0])).stdout
    assert not (queue.directory / "here").exists()

    queue.make_due(*jobs)
    queue.run_silently()  # it was told once
    assert queue.state(jobs[0]) == "waiting"

    queue.tasks("", "commands = true\n")
    queue.make_due(*jobs)
    queue.run_silently()
    assert [queue.state(job) for job in jobs] == ["finished", "finished"]
    assert (queue.directory / "here").exists()


def test_commands_wait_where_the_config_forbids_them(queue: Queue) -> None:
    job = queue.command("true")
    queue.tasks("", "commands = false\n")
    assert "the config says `commands = false`" in queue.run().stderr
    assert queue.state(job) == "waiting"


def test_a_long_output_is_kept_in_head_and_tail(queue: Queue) -> None:
    job = queue.command("echo first; head -c 10000000 /dev/zero | tr '\\0' x; echo; echo last")
    queue.run_silently()
    stdout = queue.row(job)["stdout"]
    assert stdout.startswith("first\nxxx")
    assert stdout.endswith("xxx\nlast\n")
    assert re.search(r"\n\[… \d+ bytes left out …\]\n", stdout)
    assert len(stdout) < 140_000
