"""Documented functions take paths as `str`: what does not exist is refused as it is for a `Path`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.core.web_server import Address
from fmn.comparison.comparison_plan import plan_comparison
from fmn.config import preset
from fmn.data.cache_features import cache_features
from fmn.data.feature_export import export_features
from fmn.evaluation.evaluate import evaluate
from fmn.evaluation.learn_classes import learn_classes
from fmn.evaluation.plots import plot_run
from fmn.evaluation.predict import predict
from fmn.features.backbone_training import TrainingRecipe
from fmn.features.weights import download
from fmn.search.gallery_search import search
from fmn.search.prepare import prepare_galleries
from fmn.search.search_results import GallerySource
from fmn.serve.server import serve
from fmn.studies.ablate import ablate
from fmn.studies.new_classes import learn_new_classes
from fmn.studies.tune import tune
from fmn.training.finetune import finetune
from fmn.training.train import train

DEMO = preset("demo")
RUN, MANIFEST, ROOT, OUT = "none/runs/fmn", "none/manifests/train.jsonl", "none", "out"
SOURCE = GallerySource(MANIFEST, root=ROOT)
CALLS: dict[str, Callable[[], Any]] = {
    "train": lambda: train(MANIFEST, DEMO, RUN, root=ROOT),
    "evaluate": lambda: evaluate(RUN, MANIFEST, root=ROOT, trec=OUT),
    "plan_comparison": lambda: plan_comparison(MANIFEST, MANIFEST, OUT, root=ROOT),
    "search": lambda: search(RUN, "cut the carrot", "speech", SOURCE),
    "prepare_galleries": lambda: prepare_galleries(RUN, SOURCE),
    "serve": lambda: serve(RUN, SOURCE, Address(), announce=print),
    "plot_run": lambda: plot_run(RUN, MANIFEST, root=ROOT),
    "learn_classes": lambda: learn_classes(RUN, MANIFEST, out=OUT, root=ROOT),
    "predict": lambda: predict(RUN, MANIFEST, clips=MANIFEST, root=ROOT),
    "cache_features": lambda: cache_features([MANIFEST], DEMO, root=ROOT),
    "export_features": lambda: export_features([MANIFEST], DEMO, OUT, root=ROOT),
    "finetune": lambda: finetune(MANIFEST, DEMO.video, TrainingRecipe(epochs=1), OUT, root=ROOT),
    "ablate": lambda: ablate(MANIFEST, DEMO, OUT, root=ROOT),
    "tune": lambda: tune(MANIFEST, DEMO, OUT, root=ROOT),
    "learn_new_classes": lambda: learn_new_classes(MANIFEST, DEMO, OUT, root=ROOT),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_does_not_exist_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="There is no"):
        CALLS[name]()
    assert not list(tmp_path.iterdir())


def test_weights_are_downloaded_to_a_folder(tmp_path: Path) -> None:
    assert download([], str(tmp_path / "weights")) == []
    assert (tmp_path / "weights").is_dir()
