"""Benchmark of Label Studio push and pull with many tasks, against one SDK call per task.

    LABEL_STUDIO_URL=… LABEL_STUDIO_API_KEY=… python benchmarks/review_50k.py [--tasks N] [--changes N] [--sample N]

Needs a disposable Label Studio server: ``fmn-data annotate serve`` in an empty folder starts one. The tasks are rows
without media. The baseline is a straightforward script: ``tasks.create`` and ``predictions.create`` for each clip, and
``tasks.get`` for each task to read its decision; measured on a sample in the same run and reported per task.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from label_studio_sdk import LabelStudio
from made_up_answers import MEDIA_URL, verdict
from made_up_rows import clip_row, interval_id

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.workspace import Workspace
from dataset_tools.label_studio.labeling_config import labeling_config
from dataset_tools.label_studio.pull import pull
from dataset_tools.label_studio.push import PushOptions, push
from dataset_tools.label_studio.workspace_server import Target
from dataset_tools.manifests import ClipRow, write_rows


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def clip_rows(count: int) -> list[ClipRow]:
    names = [one.id for one in load_classes().classes]
    return [clip_row(interval_id("s07-d20", 60 * n + 1, digits=8), names[n % len(names)]) for n in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=50_000)
    parser.add_argument("--changes", type=int, default=500)
    parser.add_argument("--sample", type=int, default=200)
    options = parser.parse_args()
    url, key = os.environ.get("LABEL_STUDIO_URL"), os.environ.get("LABEL_STUDIO_API_KEY")
    if not url or not key:
        raise SystemExit("set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to a disposable Label Studio server")
    target, pushing = Target(url, key), PushOptions(media_url=MEDIA_URL)
    classes = load_classes()
    found: dict[str, Any] = {"tasks": options.tasks, "changes": options.changes}
    with tempfile.TemporaryDirectory() as folder, httpx.Client(timeout=600) as http:
        client: Any = LabelStudio(base_url=url, api_key=key, httpx_client=http)
        place = Workspace(Path(folder) / "set")
        rows = clip_rows(options.tasks)
        write_rows(place.manifests / "clips.jsonl", rows)

        seconds, pushed = timed(lambda: push(place, target, classes, options=pushing))
        found["push_s"] = seconds
        found["push_again_s"], _ = timed(lambda: push(place, target, classes, options=pushing))
        pull(place, target)
        found["idle_pull_s"], _ = timed(lambda: pull(place, target))
        tasks = [
            task.id
            for _, task in zip(
                range(options.changes), client.tasks.list(project=pushed.project, page_size=1000), strict=False
            )
        ]
        for task in tasks:
            client.annotations.create(id=task, result=[verdict("accept")])
        found["pull_of_changes_s"], pulled = timed(lambda: pull(place, target))
        assert pulled.decided == len(tasks), pulled

        peer = client.projects.create(title="one call per task", label_config=labeling_config(classes)).id
        fields = {"title": "x", "fps": 29.4, "sentence": "", "speech": ""}
        sample = [
            {"clip_id": row.id, "class": row.class_id, "video": f"{MEDIA_URL}/{row.path}", **fields}
            for row in rows[: options.sample]
        ]

        def push_one_by_one() -> None:
            for data in sample:
                task = client.tasks.create(project=peer, data=data)
                client.predictions.create(task=task.id, result=[verdict("accept")], model_version="annotation")

        def pull_one_by_one() -> None:
            for task in tasks[: options.sample]:
                client.tasks.get(str(task))

        peer_push, _ = timed(push_one_by_one)
        peer_pull, _ = timed(pull_one_by_one)
        found["peer_push_s_per_task"] = peer_push / len(sample)
        found["peer_pull_s_per_task"] = peer_pull / min(len(tasks), options.sample)
        found["push_ratio"] = found["peer_push_s_per_task"] * options.tasks / found["push_s"]
        found["idle_pull_ratio"] = found["peer_pull_s_per_task"] * options.tasks / found["idle_pull_s"]
        client.projects.delete(peer)
        client.projects.delete(pushed.project)
    print(json.dumps({name: round(value, 4) for name, value in found.items()}, indent=1))


if __name__ == "__main__":
    main()
