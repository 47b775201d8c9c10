"""Define what the tests of the configuration share: a place without any."""

from __future__ import annotations

from pathlib import Path

import pytest

from cronq.config import loader
from cronq.config.loader import Config
from cronq.errors import ConfigError


class Place:
    """A current directory and a home, both empty, and the configuration as it is found there."""

    def __init__(self, root: Path) -> None:
        self.here = root / "here"
        self.home = root / "home"
        self.here.mkdir()
        self.home.mkdir()

    def load(self, *, file: str | None = None, database: str | None = None, **environ: str) -> Config:
        return loader.load(file=file, database=database, environ={"HOME": str(self.home), **environ})

    def write(self, text: str, name: str = "cronq.toml") -> Path:
        path = self.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def refusal(self, text: str) -> str:
        path = self.write(text)
        with pytest.raises(ConfigError) as refused:
            self.load()
        message = str(refused.value)
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
        return message.removeprefix(f"{path}: ")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return the current directory and the home, both empty; the system has no configuration either."""
    place = Place(tmp_path)
    monkeypatch.chdir(place.here)
    monkeypatch.setattr(loader, "SYSTEM_FILE", str(tmp_path / "etc.toml"))
    return place
