"""New servers start from a copy of a migrated database, which has no accounts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dataset_tools.label_studio.database_template import copy_template
from dataset_tools.label_studio.server import install, server_venv


@pytest.mark.label_studio
@pytest.mark.xdist_group("label_studio")
def test_a_new_folder_gets_all_tables_and_no_account(tmp_path: Path) -> None:
    install(server_venv())
    copy_template(server_venv(), tmp_path, {})
    path = tmp_path / "label_studio.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        (applied,) = database.execute("SELECT count(*) FROM django_migrations").fetchone()
        (accounts,) = database.execute("SELECT count(*) FROM htx_user").fetchone()
    assert applied > 100
    assert accounts == 0
    assert [one.name for one in tmp_path.iterdir()] == [path.name]  # each server draws a secret key of its own


def test_a_database_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "label_studio.sqlite3").write_text("decisions")
    copy_template(tmp_path / "venv", tmp_path, {})
    assert (tmp_path / "label_studio.sqlite3").read_text() == "decisions"


def test_where_no_template_can_be_made_the_server_migrates_by_itself(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    manage = tmp_path / "venv" / "lib" / "python3" / "site-packages" / "label_studio" / "manage.py"
    copy_template(tmp_path / "venv", tmp_path / "data", {})  # another layout
    manage.parent.mkdir(parents=True)
    manage.touch()
    (tmp_path / "venv" / "bin").mkdir()
    (tmp_path / "venv" / "bin" / "python").symlink_to("/bin/false")
    copy_template(tmp_path / "venv", tmp_path / "data", {})
    assert not list((tmp_path / "data").iterdir())
    assert not (tmp_path / "venv" / "empty.sqlite3").exists()
