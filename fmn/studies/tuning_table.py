"""Table of the configurations that tuning tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmn.evaluation.results_table import SHORT
from fmn.evaluation.table_formats import Row, Table, number, to_rich
from fmn.studies.tune import Tuning

if TYPE_CHECKING:
    from rich.table import Table as RichTable


def tuning_table(found: Tuning) -> RichTable:
    """The configurations tried on fold 0; those of the defaults, of the best one and of the retrained one are bold."""
    names = list(found.default.values)
    rows = []
    for trial in found.trials:
        remarks = {"default": trial is found.default, "best": trial is found.best, "retrained": trial.retrained}
        cells = [str(trial.values[name]) for name in names]
        cells += [number(value) for value in (trial.map, trial.audio_to_video, trial.video_to_audio)]
        cells.append(", ".join(remark for remark, applies in remarks.items() if applies))
        is_marked = any(trial is marked for marked in (found.default, found.best, found.final))
        rows.append(Row(cells, "bold" if is_marked else ""))
    head = [*(name.partition(".")[2] for name in names), "mAP", *(f"{way} hit@1" for way in SHORT.values()), ""]
    return to_rich(Table("configurations tried on fold 0, percent", head, [rows], found.notes, left=()), no_wrap=())
