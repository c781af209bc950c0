"""What is remembered of the contents of videos, and its copy for a dry run."""

from __future__ import annotations

from pathlib import Path

from dataset_tools.build.opened_videos import source_cache
from dataset_tools.core.workspace import Workspace


def test_the_cache_of_a_dry_run_is_a_copy_without_what_a_build_beside_it_is_writing(tmp_path: Path) -> None:
    kept = Workspace(tmp_path).cache / "sources"
    partial = kept / ".partial-abc"
    partial.mkdir(parents=True)
    (kept / "a.json").write_text("{}")
    (partial / "b.json").symlink_to("gone")  # as if the build had removed it after it was listed
    with source_cache(Workspace(tmp_path), dry_run=True) as cache:
        (cache / "c.json").touch()
        assert sorted(path.name for path in cache.iterdir()) == ["a.json", "c.json"]
    assert not cache.exists()
    assert sorted(path.name for path in kept.iterdir()) == [".partial-abc", "a.json"]
