"""``fmn serve``: the local web server for search and error analysis with a trained run.

All routes are under a path that contains a secret (`dataset_tools.core.web_server`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
from aiohttp import web

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import StoppedError, ToolkitError
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.web_application import MICROPHONE, file_response, guarded_application, page_routes
from dataset_tools.core.web_server import Address
from dataset_tools.core.web_server import serve as serve_application
from dataset_tools.report.card_data import SCRIPTS, STYLE
from fmn.data.loading import find_device
from fmn.search.search_results import GallerySource, QueryKind
from fmn.search.text_query import require_engine
from fmn.serve.errors_view import Errors
from fmn.serve.queries import EncodedQuery, Queries
from fmn.serve.samples_view import Samples
from fmn.serve.shown_items import ShownItems
from fmn.training.checkpoint import load_run

Result = TypeVar("Result")

MOST_BYTES = 64 * 2**20
"""Maximum size of a query file."""
MOST_ENCODED = 4
"""Maximum number of queries that are encoded at the same time; they share the cores."""
WAIT_S = 15.0
"""Time that a query waits for one of these to end."""
_PAGE = Path(__file__).parent
_FILES = {
    "": _PAGE / "page.html",
    **{name: _PAGE / name for name in ("page.js", "page.css", "icon.svg", "explore.js", "errors.js")},
    **{path.name: path for path in (MICROPHONE, *SCRIPTS, STYLE)},
}


def serve(
    run: Path | str,
    source: GallerySource,
    address: Address,
    *,
    announce: Callable[[str, Mapping[str, str]], None],
    voices: str = "espeak",
    device: str = "auto",
    jobs: int | None = None,
    progress: Progress = silent,
) -> None:
    """Serves the page of a run until it is interrupted. The address and the speech engine are checked first.

    Args:
        run: folder of a trained run.
        source: its clips and utterances are searched, and the queries of its manifest are analyzed for errors.
        address: where to listen.
        announce: called with the page's address, including its secret, which persists (``cache/serve/address``), and
            the items without features, by id, with the reason.
        voices: the speech engine that synthesizes typed queries.
        device: ``auto``, or a torch device.
        jobs: workers for features; None: one per core.
        progress: progress callback for the galleries.

    Raises:
        InputError: there is no such run, manifest or speech engine, run and manifest do not match, or the address
            cannot be used.
    """
    require_engine(voices)
    chosen = find_device(device)
    loaded, items = load_run(Path(run), chosen), ShownItems(source)
    failures: dict[str, str] = {}
    with TemporaryDirectory() as folder:

        def started(token: str) -> web.Application:
            queries = Queries(loaded, items, Path(folder), voices=voices, device=chosen, jobs=jobs, progress=progress)
            failures.update(queries.failures)
            return make_app(queries, token)

        kept = items.workspace / "cache" / "serve" / "address"
        serve_application(started, address, kept, lambda url: announce(url, failures))


def make_app(queries: Queries, token: str) -> web.Application:
    """Creates the page as an aiohttp application; all routes are under ``/<token>/``."""
    page = _Page(queries)
    routes = [
        *page_routes(_FILES),
        web.get("/{token}/api/state", page.state),
        web.get("/{token}/api/search", page.search),
        web.post("/{token}/api/queries", page.query),
        web.get("/{token}/api/errors", page.errors),
        web.get("/{token}/api/samples", page.samples),
        web.get("/{token}/files/{path:.+}", page.listed),
        web.get("/{token}/media/{id}", page.media),
        web.get("/{token}/queries/{id}", page.query_file),
    ]
    app = guarded_application(token, routes, most_bytes=MOST_BYTES)
    app.on_cleanup.append(page.close)
    return app


class _Page:
    """The request handlers. Names from clients are looked up in tables, never used to build paths."""

    def __init__(self, queries: Queries) -> None:
        self._queries, self._errors = queries, Errors(queries)
        self._samples = Samples(queries.items, self._errors)
        self._encodings = asyncio.Semaphore(MOST_ENCODED)
        self._ranking, self._analyzing = asyncio.Lock(), asyncio.Lock()  # one at a time uses all cores
        self._threads = ThreadPoolExecutor(2 * MOST_ENCODED, "query", torch.set_num_threads, (torch.get_num_threads(),))

    async def close(self, _: web.Application) -> None:
        """Waits for the work of clients that have gone, which uses the folder of the queries."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    async def state(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(await self._in_thread(self._queries.state))

    async def search(self, request: web.Request) -> web.StreamResponse:
        parameters = {name: text for name, text in request.query.items() if name in ("id", "query", "text")}
        if len(parameters) != 1:
            raise web.HTTPBadRequest
        encode = partial(self._queries.encoded, **parameters)
        is_short = self._queries.is_in_gallery(**parameters)
        encoded = await (self._in_thread(encode) if is_short else self._encoded(encode))
        return await self._answer(self._ranking, lambda: self._queries.answer(encoded))

    async def query(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()
        return web.json_response({"query": await self._in_thread(lambda: self._queries.keep(content))})

    async def errors(self, request: web.Request) -> web.StreamResponse:
        kind: QueryKind = "clip" if request.query.get("kind") == "clip" else "speech"
        return await self._answer(self._analyzing, lambda: self._errors.of(kind))

    async def samples(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(self._analyzing, self._samples.cards)

    async def listed(self, request: web.Request) -> web.StreamResponse:
        return file_response(await asyncio.to_thread(self._samples.file, request.match_info["path"]))

    async def media(self, request: web.Request) -> web.StreamResponse:
        items = self._queries.items
        try:  # the file is hashed: that must not hold up other requests
            return file_response(await asyncio.to_thread(lambda: items.file(items.find(request.match_info["id"]))))
        except (KeyError, ToolkitError) as error:  # unknown id, or the file is missing or another one
            raise web.HTTPNotFound from error

    async def query_file(self, request: web.Request) -> web.StreamResponse:
        return file_response(self._queries.kept(request.match_info["id"]))

    async def _encoded(self, encode: Callable[[], EncodedQuery]) -> EncodedQuery:
        """Encodes a query beside those of others, which takes long for a long video.

        Raises:
            web.HTTPServiceUnavailable: too many queries are being encoded.
        """
        try:
            await asyncio.wait_for(self._encodings.acquire(), WAIT_S)
        except TimeoutError:
            raise _busy() from None
        encoding = asyncio.ensure_future(self._in_thread(encode))
        encoding.add_done_callback(lambda _: self._encodings.release())
        return await asyncio.shield(encoding)  # a thread cannot be stopped when its client leaves

    async def _answer(self, alone: asyncio.Lock, work: Callable[[], dict[str, Any]]) -> web.StreamResponse:
        async with alone:
            return web.json_response(await self._in_thread(work))

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _busy() -> web.HTTPServiceUnavailable:
    error = StoppedError(
        f"The server is busy: it encodes {count_of(MOST_ENCODED, 'query', 'queries')} of others",
        expected="fewer long queries at the same time",
        next_step="search again in a moment",
    )
    text = json.dumps(error.as_dict())
    return web.HTTPServiceUnavailable(text=text, content_type="application/json", headers={"Retry-After": "10"})
