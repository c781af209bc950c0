"""New servers start from a copy of a migrated database, which has no accounts."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dataset_tools.label_studio.database_template import copy_template
from dataset_tools.label_studio.server import LABEL_STUDIO_VERSION, server_venv


@pytest.mark.label_studio
@pytest.mark.xdist_group("label_studio")
@pytest.mark.usefixtures("label_studio")  # its start has made the template, with an account in the environment
def test_a_new_folder_gets_all_tables_and_no_account(tmp_path: Path) -> None:
    copy_template(server_venv(), LABEL_STUDIO_VERSION, tmp_path, {})
    path = tmp_path / "label_studio.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        (applied,) = database.execute("SELECT count(*) FROM django_migrations").fetchone()
        (accounts,) = database.execute("SELECT count(*) FROM htx_user").fetchone()
    assert applied > 100
    assert accounts == 0
    assert [one.name for one in tmp_path.iterdir()] == [path.name]  # each server draws a secret key of its own


def test_a_database_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "label_studio.sqlite3").write_text("decisions")
    copy_template(tmp_path / "venv", "1", tmp_path, {})
    assert (tmp_path / "label_studio.sqlite3").read_text() == "decisions"


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An installation whose interpreter fails."""
    manage = tmp_path / "venv" / "lib" / "python3" / "site-packages" / "label_studio" / "manage.py"
    manage.parent.mkdir(parents=True)
    manage.touch()
    (tmp_path / "venv" / "bin").mkdir()
    (tmp_path / "venv" / "bin" / "python").symlink_to("/bin/false")
    (tmp_path / "data").mkdir()
    return tmp_path / "venv"


def test_where_no_template_can_be_made_the_server_migrates_by_itself(venv: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for installation in (tmp_path / "empty", venv):  # another layout; a command that fails
        copy_template(installation, "1", tmp_path / "data", {})
        assert not list((tmp_path / "data").iterdir())
        assert not list(installation.glob("*.sqlite3"))


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_or_read_only_disk_stops_no_server(
    venv: Path, tmp_path: Path, reason: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(reason, "refused")

    (venv / "empty-1.sqlite3").write_text("tables")
    monkeypatch.setattr("shutil.copyfile", refused)
    copy_template(venv, "1", tmp_path / "data", {})
    assert not list((tmp_path / "data").iterdir())
