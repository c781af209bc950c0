"""Label noise study: every system trained with some wrong pairs, evaluated on the unchanged test manifest.

At each rate of wrong pairs (`fmn.studies.wrong_pairs`), the systems are trained and tested as in
`fmn.comparison.compare`: fold 0, as noisy as the rest, selects configurations, and the test manifest is unchanged. With
``training.labels=pairs`` (`fmn.data.pseudo_labels`), the pairs are the only supervision, and FMN's memories are written
with these pairs, including wrong ones. With ``class``, a wrong utterance has the class of its wrong clip.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_tools.core.files import clear_partial, write_bytes
from dataset_tools.core.progress import Progress, Warn, silent
from fmn.comparison.compare import compare
from fmn.comparison.comparison_plan import Comparison, plan_comparison
from fmn.comparison.output_files import check_files, write_files
from fmn.data.items import Items, load_items
from fmn.data.loading import find_device
from fmn.data.pseudo_labels import spoken_pairs
from fmn.features.encoder_facts import encoders_loaded_once
from fmn.studies.noise_figures import noise_text, write_noise_plot
from fmn.studies.validation_harness import check_fold_0
from fmn.studies.wrong_pairs import write_noisy_manifest, wrong_sources
from fmn.training.result_files import check_result_files, set_aside_other_data

FORMAT = "fmn.noise/1"
FILES = ("noise.json", "noise.md", "noise.png")


@dataclass(frozen=True, eq=False)
class NoiseStudy:
    """Results of `study_noise`.

    Attributes:
        values: contents of noise.json. failed: systems without results at some rate, with the reason.
        left_out: items without features, with the reason.
    """

    values: dict[str, Any]
    failed: dict[str, str]
    left_out: dict[str, str]


@encoders_loaded_once()
def study_noise(
    comparison: Comparison,
    rates: Sequence[int],
    *,
    jobs: int = 1,
    progress: Progress = silent,
    warn: Warn | None = None,
) -> NoiseStudy:
    """Trains and tests the systems of a comparison at every rate of wrong pairs.

    Writes noise.json, noise.md and noise.png into the comparison's folder; its subfolder ``20`` is the comparison with
    20 % wrong pairs. An interrupted study resumes: finished runs are reused.

    Args:
        comparison: from `fmn.comparison.comparison_plan.plan_comparison`; its first seed also draws the wrong pairs.
        rates: rates of wrong pairs, percent.
        jobs: runs trained in parallel.
        progress: progress callback.
        warn: called if earlier results, of other data, are moved (`set_aside_other_data`).

    Raises:
        InputError: a manifest is invalid, the device or fold 0 is missing, or there are too few pairs for a rate.
        StoppedError: interrupted, a manifest was changed meanwhile, or the disk is full; the same call resumes.
    """
    rates = sorted(set(rates))
    check_noise_files(comparison.folder, rates)
    find_device(comparison.device)
    items = check_rates(comparison.train, rates, comparison.seeds[0], comparison.root)
    measured: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for number, percent in enumerate(rates):
        folder = comparison.folder / str(percent)
        pairs, wrong = write_noisy_manifest(items, percent, comparison.seeds[0], folder / "train.jsonl")
        planned = _planned(comparison, folder, items.workspace)
        comparison.require_unchanged()  # or rates would be tested on other data than the first one
        results = compare(planned, jobs=jobs, progress=_part(progress, number, len(rates), percent))
        write_files(results.values, folder, warn=warn)
        failed |= {f"{name} at {percent} %": reason for name, reason in results.failed.items()}
        left_out |= results.left_out
        measured.append({"percent": percent, "pairs": pairs, "wrong": wrong, **_shown(results.values)})
    values = {
        "schema": FORMAT,
        "train_sha256": comparison.train_sha256,
        "test_sha256": comparison.test_sha256,
        "preset": comparison.preset,
        "changes": dict(comparison.changes),
        "seeds": list(comparison.seeds),
        "stand_in": items.standin is not None,
        "rates": measured,
    }
    clear_partial(comparison.folder)
    set_aside_other_data(comparison.folder, FILES, values, warn)
    write_bytes(comparison.folder / "noise.json", json.dumps(values, indent=2, ensure_ascii=False).encode() + b"\n")
    write_bytes(comparison.folder / "noise.md", noise_text(values).encode())
    write_noise_plot(values, comparison.folder / "noise.png")
    return NoiseStudy(values, failed, left_out)


def check_noise_files(folder: Path, rates: Sequence[int]) -> None:
    """Checks that `study_noise` would replace no files of something else.

    Raises:
        InputError: it would.
    """
    check_result_files(folder, FILES, FORMAT)
    for percent in rates:
        check_files(folder / str(percent))


def check_rates(manifest: Path, rates: Sequence[float], seed: int, root: Path | None = None) -> Items:
    """Loads the items of a training manifest and checks that wrong pairs can be drawn at each of the rates.

    Args:
        manifest: train.jsonl.
        rates: rates of wrong pairs, percent.
        seed: draws the wrong pairs.
        root: the workspace, if it is not the parent of the manifest's folder.

    Raises:
        InputError: the manifest is invalid, there is no fold 0, or there are too few pairs for one of the rates.
    """
    items = load_items(manifest, root)
    spoken = spoken_pairs(items)
    check_fold_0(spoken)
    for percent in rates:
        wrong_sources(spoken, percent, seed)
    return items


def _planned(comparison: Comparison, folder: Path, workspace: Path) -> Comparison:
    """The same comparison on the noisy manifest in ``folder``, with output to ``folder``."""
    return plan_comparison(
        folder / "train.jsonl",
        comparison.test,
        folder,
        models=list(comparison.candidates),
        preset_name=comparison.preset,
        changes=comparison.changes,
        budget=max(len(tried) for tried in comparison.candidates.values()),
        seeds=len(comparison.seeds),
        root=workspace,
        device=comparison.device,
    )


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of compare.json that noise.json contains."""
    systems = {
        name: {key: system[key] for key in ("metrics", "difference", "error") if key in system}
        for name, system in values["systems"].items()
    }
    return {
        "queries": values["queries"],
        "references": values["references"],
        "systems": systems,
        "notes": values["notes"],
    }


def _part(progress: Progress, number: int, count: int, percent: int) -> Progress:
    """Progress callback for one of ``count`` comparisons."""

    def report(stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "compare":
            progress("noise", number * total + done, count * total, f"{percent} % wrong, {note}" if note else "")
        else:
            progress(stage, done, total, note)

    return report
