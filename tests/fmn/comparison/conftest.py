"""A small comparison of systems on made-up features."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import fmn.comparison.comparison_runs
import fmn.models.baselines
from fmn.comparison.compare import compare
from fmn.comparison.comparison_plan import Comparison, plan_comparison
from fmn.comparison.results import Results
from fmn.config import Config

# One that cannot be trained, beside those that can.
BROKEN = """
from fmn.models.baselines.cca import CanonicalCorrelation
from fmn.models.system_interface import System


class Broken(CanonicalCorrelation):
    def losses(self, batch):
        raise RuntimeError("this one is broken")


SYSTEM = System(name="broken", summary="fails", build=Broken)
"""


@pytest.fixture
def planned(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_changes: dict[str, Any]
) -> Callable[..., Comparison]:
    (tmp_path / "systems").mkdir()
    (tmp_path / "systems" / "broken.py").write_text(BROKEN)
    monkeypatch.setattr(fmn.models.baselines, "__path__", [*fmn.models.baselines.__path__, str(tmp_path / "systems")])
    monkeypatch.delitem(sys.modules, "fmn.models.baselines.broken", raising=False)

    def made(*models: str, changes: Mapping[str, Any] | None = None, **others: Any) -> Comparison:
        return plan_in(workspace, models, changes=small_changes | dict(changes or {}), **others)

    return made


def plan_in(workspace: Path, models: Sequence[str], *, budget: int = 2, seeds: int = 2, **others: Any) -> Comparison:
    train, test = (workspace / "manifests" / f"{name}.jsonl" for name in ("train", "test"))
    folder = workspace / "runs" / "compare"
    return plan_comparison(train, test, folder, models=models, budget=budget, seeds=seeds, device="cpu", **others)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that are trained, by folder."""
    found: list[str] = []
    usual = fmn.comparison.comparison_runs.train

    def counted(manifest: Path, config: Config, run: Path, **others: Any) -> Any:
        found.append(f"{config.system} {run.parent.name[0]} {run.name}")
        return usual(manifest, config, run, **others)

    monkeypatch.setattr(fmn.comparison.comparison_runs, "train", counted)
    return found


@pytest.fixture(scope="session")
def results(
    make_workspace: Callable[[Path], Path],
    make_up_features: Callable[[pytest.MonkeyPatch], object],
    small_changes: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Results:
    """Of a comparison with its runs, all of which tests leave as they are."""
    workspace = make_workspace(tmp_path_factory.mktemp("compared") / "workspace")
    with pytest.MonkeyPatch.context() as patch:
        make_up_features(patch)
        return compare(plan_in(workspace, ("fmn", "cca", "file_size", "musimnet"), changes=small_changes, budget=1))
