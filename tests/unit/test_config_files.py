"""The file of the configuration: where it is found, whose it may be, and what its paths are relative to."""

from __future__ import annotations

import os

import pytest

from cronq.config import loader
from cronq.errors import ConfigError
from tests.unit.conftest import Place


def test_the_first_file_wins(place: Place) -> None:
    """Each file is removed after its turn, so that the next one is found."""
    places = [
        place.write("jobs = 3"),
        place.write("[tool.cronq]\njobs = 4", "pyproject.toml"),
        place.write("jobs = 5", "../home/.config/cronq/cronq.toml"),
        place.write("jobs = 6", "../etc.toml"),
    ]
    named, from_environment = place.write("jobs = 1", "a.toml"), place.write("jobs = 2", "b.toml")
    assert place.load(file=str(named), CRONQ_CONFIG=str(from_environment)).jobs == 1
    assert place.load(CRONQ_CONFIG=str(from_environment)).jobs == 2
    for jobs, path in enumerate(places, start=3):
        found = place.load(CRONQ_CONFIG="")
        assert (found.jobs, os.path.realpath(found.file or "")) == (jobs, os.path.realpath(path))
        path.unlink()
    assert place.load().file is None


def test_a_pyproject_without_the_table_is_passed_over(place: Place) -> None:
    for text in (
        "[project]\nname = 'x'",
        "not even TOML",
        "[tool.other]\ncronq = 1",
        "x = 'cronq'",
        "tool = 'cronq'",
    ):
        place.write(text, "pyproject.toml")
        assert place.load().file is None


@pytest.mark.parametrize("text", ["[tool.cronq]\njobs = 7", "tool.cronq.jobs = 7", "tool = {cronq = {jobs = 7}}"])
def test_a_pyproject_may_write_the_table_in_any_way(place: Place, text: str) -> None:
    place.write(text, "pyproject.toml")
    assert place.load().jobs == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jobs = 2\njobs = 3", "line 2"),
        ("jobs = 2\n\ndatabase = 'geheim", "line 3"),
        ("jobs = ", "line 1"),
        ("x = " + "[" * 5000, "expected TOML"),
    ],
)
def test_broken_toml_is_named_with_its_line(place: Place, text: str, message: str) -> None:
    refusal = place.refusal(text)
    assert refusal.startswith("expected TOML: ")
    assert message in refusal
    assert "geheim" not in refusal


def test_a_file_that_is_not_utf8_is_named_with_its_line(place: Place) -> None:
    (place.here / "cronq.toml").write_bytes(b"jobs = 2\napp = '\xff'")
    with pytest.raises(ConfigError, match=r"expected UTF-8, line 2 is not"):
        place.load()


def test_a_named_file_must_be_there(place: Place) -> None:
    with pytest.raises(ConfigError, match=r"--config: gone.toml: expected a readable .*: No such file"):
        place.load(file="gone.toml")
    with pytest.raises(ConfigError, match=r"CRONQ_CONFIG: gone.toml: expected a readable .*: No such file"):
        place.load(CRONQ_CONFIG="gone.toml")
    with pytest.raises(ConfigError, match="Is a directory"):
        place.load(file=str(place.here))
    with pytest.raises(ConfigError, match="null byte"):
        place.load(file="a\0b")


def test_a_named_pyproject_must_have_the_table(place: Place) -> None:
    path = place.write("[project]", "pyproject.toml")
    with pytest.raises(ConfigError, match=r"expected a table .tool.cronq., there is none"):
        place.load(file=str(path))
    place.write("[tool]\ncronq = 3", "pyproject.toml")
    with pytest.raises(ConfigError, match=r"tool\.cronq: expected a table"):
        place.load()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_found_file_that_cannot_be_read_is_not_passed_over(place: Place) -> None:
    place.write("jobs = 2").chmod(0)
    with pytest.raises(ConfigError, match=r"can't be read: Permission denied"):
        place.load()


@pytest.mark.parametrize("name", ["cronq.toml", "pyproject.toml", "../home/.config/cronq/cronq.toml"])
@pytest.mark.parametrize(
    ("of_file", "of_directory"), [(0o666, 0o755), (0o644, 0o777), (0o644, 0o1777)], ids=["file", "directory", "sticky"]
)
def test_a_found_file_that_others_could_have_written_is_refused_unless_named(
    place: Place, name: str, of_file: int, of_directory: int
) -> None:
    path = place.write("[tool.cronq]\njobs = 3" if name == "pyproject.toml" else "jobs = 3", name)
    path.chmod(of_file)
    path.parent.chmod(of_directory)
    with pytest.raises(
        ConfigError, match=r"others can write to .*; if this configuration is meant, name it: --config /"
    ):
        place.load()
    assert place.load(file=str(path)).jobs == 3
    path.chmod(0o644)
    path.parent.chmod(0o755)
    assert place.load().jobs == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["cronq.toml", "pyproject.toml"])
@pytest.mark.parametrize("given", ["file", "directory"])
def test_a_found_file_of_another_user_is_refused_unless_named(place: Place, name: str, given: str) -> None:
    path = place.write("[tool.cronq]\njobs = 3" if name == "pyproject.toml" else "jobs = 3", name)
    os.chown(path if given == "file" else path.parent, 4242, 4242)
    with pytest.raises(ConfigError, match=r"belongs to the user 4242; if this configuration is meant, name it"):
        place.load()
    assert place.load(file=str(path)).jobs == 3


def test_a_pyproject_without_cronq_may_belong_to_anyone(place: Place) -> None:
    place.write("[project]\nname = 'cronq-user'", "pyproject.toml").chmod(0o666)
    assert place.load().file is None


def test_the_callers_group_is_no_other(place: Place) -> None:
    path = place.write("jobs = 3")
    path.chmod(0o664)
    assert path.stat().st_gid == os.getegid()
    assert place.load().jobs == 3


def test_paths_are_relative_to_the_file_they_come_from(place: Place) -> None:
    text = "database = 'sqlite:///./cronq.db'\nlock_dir = 'locks'"
    other = place.write(text, "../etc/shop.toml")
    found = place.load(file="../etc/shop.toml")
    assert os.path.realpath(found.sqlite_path() or "") == os.path.realpath(other.parent / "cronq.db")
    assert os.path.realpath(found.lock_dir) == os.path.realpath(other.parent / "locks")
    found = place.load(file=str(other), database="sqlite:///mine.db", CRONQ_LOCK_DIR="run")
    assert (found.sqlite_path(), found.lock_dir) == (f"{place.here}/mine.db", f"{place.here}/run")


def test_a_tilde_is_the_home_directory(place: Place) -> None:
    found = place.load(database="sqlite:///~/q.db", CRONQ_LOCK_DIR="~/locks")
    assert (found.sqlite_path(), found.lock_dir) == (f"{place.home}/q.db", f"{place.home}/locks")


def test_a_current_directory_that_is_gone_needs_absolute_paths(place: Place) -> None:
    place.here.rmdir()
    assert place.load().file is None
    with pytest.raises(ConfigError, match=r"--db: database: expected an absolute path here"):
        place.load(database="sqlite:///q.db")


def test_without_home_the_password_database_knows_it() -> None:
    import pwd

    home = pwd.getpwuid(os.geteuid()).pw_dir
    assert loader.load(file="/dev/null", environ={}).sqlite_path() == f"{home}/.local/state/cronq/cronq.db"


@pytest.mark.usefixtures("place")
def test_a_user_without_home_must_name_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 987654)
    with pytest.raises(ConfigError, match=r"no home directory to keep a queue in"):
        loader.load(environ={})
    assert loader.load(environ={"CRONQ_DATABASE": "sqlite:////srv/q.db"}).sqlite_path() == "/srv/q.db"
