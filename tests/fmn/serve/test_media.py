"""The files of clips and utterances that the page plays: their content is checked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from aiohttp.test_utils import TestClient, TestServer

from dataset_tools.manifests import ClipRow
from fmn.search.search_results import GallerySource
from fmn.serve.queries import Queries
from fmn.serve.server import make_app
from fmn.serve.shown_items import ShownItems
from fmn.training.checkpoint import load_run

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
TOKEN = "a-secret"


@pytest.fixture
def queries(trained: Path, tmp_path: Path) -> Queries:
    items = ShownItems(GallerySource(trained.parent.parent / "manifests" / "test.jsonl"))
    return Queries(load_run(trained, CPU), items, tmp_path, device=CPU, jobs=1)


def asked(queries: Queries, work: Callable[[TestClient[Any, Any]], Any]) -> Any:
    async def run() -> Any:
        async with TestClient(TestServer(make_app(queries, TOKEN))) as client:
            return await work(client)

    return asyncio.run(run())


def test_a_file_that_was_replaced_meanwhile_is_not_shown_for_the_one_that_was_ranked(queries: Queries) -> None:
    """As when the data set is built again while the page is open."""
    spoken, other = list(queries.items.utterances.values())[:2]
    # The files are those of other tests, too, so the row is changed.
    queries.items.utterances[spoken.id] = msgspec.structs.replace(spoken, sha256=other.sha256)

    async def work(client: TestClient[Any, Any]) -> None:
        assert (await client.get(f"/{TOKEN}/media/{other.id}")).status == 200
        assert (await client.get(f"/{TOKEN}/media/{spoken.id}")).status == 404
        answer = await client.get(f"/{TOKEN}/api/search", params={"id": spoken.id})
        assert answer.status == 409
        assert f"The content of {spoken.id} has changed" in (await answer.json())["found"]

    asked(queries, work)


def test_a_file_that_is_being_checked_holds_up_no_other_request(
    queries: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole file is read for each byte range that a browser requests."""
    clip, seen = next(iter(queries.items.clips.values())), threading.Event()

    def file(row: ClipRow) -> Path:
        assert seen.wait(timeout=60), "the other request has to be answered first"
        return queries.items.workspace / row.path

    monkeypatch.setattr(queries.items, "file", file)

    async def work(client: TestClient[Any, Any]) -> None:
        waiting = asyncio.create_task(client.get(f"/{TOKEN}/media/{clip.id}"))
        await asyncio.sleep(0.05)
        assert (await client.get(f"/{TOKEN}/api/state")).status == 200
        seen.set()
        assert (await waiting).status == 200

    asked(queries, work)
