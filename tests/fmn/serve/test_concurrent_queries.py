"""Queries of several people at the same time: one that takes long is encoded beside the others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from aiohttp.test_utils import TestClient, TestServer

from fmn.search.gallery_search import Gallery
from fmn.search.search_results import GallerySource
from fmn.serve import server
from fmn.serve.queries import Queries
from fmn.serve.server import make_app
from fmn.serve.shown_items import ShownItems
from fmn.training.checkpoint import load_run

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
TOKEN = "a-secret"
TEXTS = ("She pours the milk.", "He takes out the knife.", "Wash one carrot.", "Somebody peels something.")


@pytest.fixture
def queries(trained: Path, tmp_path: Path) -> Queries:
    items = ShownItems(GallerySource(trained.parent.parent / "manifests" / "test.jsonl"))
    return Queries(load_run(trained, CPU), items, tmp_path, device=CPU, jobs=1)


def asked(queries: Queries, work: Callable[[Callable[..., Any]], Any]) -> Any:
    async def run() -> Any:
        async with TestClient(TestServer(make_app(queries, TOKEN))) as client:

            async def search(**query: str) -> tuple[int, Any]:
                answer = await asyncio.wait_for(client.get(f"/{TOKEN}/api/search", params=query), 30)
                return answer.status, await answer.json()

            return await work(search)

    return asyncio.run(run())


class LongQuery:
    """Makes the encoding of the next query last until ``finish`` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.finish = threading.Event(), threading.Event()
        usual = Gallery.encode

        def encode(gallery: Gallery, query: Path, **options: Any) -> Any:
            if not self.begun.is_set():
                self.begun.set()
                assert self.finish.wait(60)
            return usual(gallery, query, **options)

        monkeypatch.setattr(Gallery, "encode", encode)


@pytest.fixture
def long_query(monkeypatch: pytest.MonkeyPatch) -> LongQuery:
    return LongQuery(monkeypatch)


def test_a_long_query_does_not_make_others_wait(queries: Queries, long_query: LongQuery) -> None:
    async def work(search: Callable[..., Any]) -> None:
        long = asyncio.create_task(search(text=TEXTS[0]))
        assert await asyncio.to_thread(long_query.begun.wait, 30)
        for query in ({"id": queries.galleries["clip"].rows[0].id}, {"text": TEXTS[1]}):
            assert (await search(**query))[0] == 200
        assert not long.done()
        long_query.finish.set()
        assert (await long)[0] == 200

    asked(queries, work)


def test_too_many_long_queries_are_answered_plainly(
    queries: Queries, long_query: LongQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that leaves does not stop the encoding of its query."""
    monkeypatch.setattr(server, "MOST_ENCODED", 1)
    monkeypatch.setattr(server, "WAIT_S", 0.1)

    async def work(search: Callable[..., Any]) -> None:
        long = asyncio.create_task(search(text=TEXTS[0]))
        assert await asyncio.to_thread(long_query.begun.wait, 30)
        long.cancel()
        status, reply = await search(text=TEXTS[1])
        assert status == 503  # not 409, upon which the page sends a file again
        assert reply["found"] == "The server is busy: it encodes 1 query of others"
        assert reply["next"] == "search again in a moment"
        assert (await search(id=queries.galleries["clip"].rows[0].id))[0] == 200
        monkeypatch.setattr(server, "WAIT_S", 30.0)
        long_query.finish.set()
        assert (await search(text=TEXTS[1]))[0] == 200

    asked(queries, work)


def test_queries_at_the_same_time_have_the_answers_of_one_by_one(queries: Queries) -> None:
    sounds = [queries.items.file(row).read_bytes()[:-2000] for row in queries.galleries["clip"].rows[:4]]  # unknown
    wanted = [*({"text": text} for text in TEXTS), *({"query": queries.keep(sound)} for sound in sounds)]

    async def work(search: Callable[..., Any]) -> tuple[Any, Any]:
        return await asyncio.gather(*(search(**query) for query in wanted)), [await search(**query) for query in wanted]

    together, one_by_one = asked(queries, work)
    for found, expected in zip(together, one_by_one, strict=True):
        assert found[0] == expected[0] == 200
        assert found[1]["hits"] == expected[1]["hits"]
        assert found[1]["query"] == expected[1]["query"]
    assert len({str(answer["query"]) for _, answer in together}) == 8
