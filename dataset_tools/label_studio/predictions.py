"""Predictions of a trained model as prefill, the least certain clips first."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import InputError
from dataset_tools.label_studio.connection import answers, list_tasks
from dataset_tools.label_studio.tasks import Prediction, Task, prefilled_class
from dataset_tools.manifests import PREDICTIONS_FILE, ClipRow, PredictionRow, read_rows

_PREDICTIONS_PER_REQUEST = 1000
_TASKS_PER_PAGE = 1000


def read_predictions(run: Path) -> dict[str, PredictionRow]:
    """Reads the predictions of a run, by clip id.

    Args:
        run: folder of a run with predictions.jsonl, or such a file.

    Raises:
        InputError: there are no predictions, or not all of them are of one model.
    """
    path = run / PREDICTIONS_FILE if run.is_dir() else run
    if not path.is_file():
        raise InputError(
            "The run has no predictions" if run.is_dir() else "There is no such run",
            where=path,
            expected=f"a folder of a trained run with {PREDICTIONS_FILE}",
            next_step=f"create them first: fmn predict {shlex.quote(str(run))}",
        )
    predictions = {row.id: row for row in read_rows(path, PredictionRow)}
    models = sorted({row.model for row in predictions.values()})
    if len(models) != 1:
        raise InputError(
            f"The predictions are of {len(models)} models: {', '.join(models) or 'none'}",
            where=path,
            expected="those of one model",
            next_step=f"create them again: fmn predict {shlex.quote(str(run))}",
        )
    return predictions


def with_predictions(
    tasks: Sequence[Task],
    clips: Mapping[str, ClipRow],
    predictions: Mapping[str, PredictionRow],
    classes: ClassFile,
    controls: Mapping[str, str],
) -> tuple[Task, ...]:
    """Returns the tasks with a model's prefill, the least certain first.

    A clip without a prediction for its current content is prefilled with its annotated class, and comes first.

    Args:
        tasks: one per clip.
        clips: by id.
        predictions: predictions of one model, by clip id.
        classes: classes that the model may predict.
        controls: controls of the page.
    """
    known = {one.id: one for one in classes.classes}
    model = next(iter(predictions.values())).model
    predicted = []
    for task in tasks:
        row = predictions.get(task.clip_id)
        if row is None or row.class_id not in known or row.clip_sha256 != clips[task.clip_id].sha256:
            prediction = Prediction(model, 0.0, task.prefill)
        else:
            others = [one for one in task.prefill if one["type"] != "taxonomy"]
            prediction = Prediction(
                model, 1 - row.uncertainty, [*prefilled_class(known[row.class_id], controls), *others]
            )
        predicted.append(replace(task, prediction=prediction))
    return tuple(
        sorted(predicted, key=lambda task: (task.prediction.certainty if task.prediction else 0.0, task.clip_id))
    )


def show_predictions(client: Any, url: str, project: int, tasks: Mapping[int, Task], model: str) -> int:
    """Makes a project prefill its pages with a model's predictions, and present the least certain tasks first.

    Without any prediction of the model, the project stays as it is: the server refuses to show such a model.

    Args:
        client: client of the server.
        url: address of the server.
        project: id of the project.
        tasks: existing tasks by their ids on the server; those without a prediction of the model get one.
        model: name of the model.

    Returns:
        The number of tasks that have a prediction of the model.
    """
    with answers(url):
        listed = list_tasks(
            client, project=project, fields="all", include="id,predictions_model_versions", page_size=_TASKS_PER_PAGE
        )
        done = {task.id for task in listed if model in str(task.predictions_model_versions or "").split(",")}
        predictions = [
            {"task": task_id, **task.prediction.request()}
            for task_id, task in tasks.items()
            if task.prediction is not None and task_id not in done
        ]
        for start in range(0, len(predictions), _PREDICTIONS_PER_REQUEST):
            client.projects.import_predictions(
                id=project, request=predictions[start : start + _PREDICTIONS_PER_REQUEST]
            )
        predicted = len(done) + len(predictions)
        if predicted:
            client.projects.update(id=project, model_version=model, sampling="Uncertainty sampling")
    return predicted
