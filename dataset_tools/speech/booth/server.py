"""Recording booth server: a local web server for speakers with a microphone.

All pages are at an address that contains a secret. Browsers allow the microphone only on pages from the local machine
or over TLS: addresses other than loopback need a certificate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
from aiohttp import web

from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.core.web_application import MICROPHONE, file_response, guarded_application, json_body, page_routes
from dataset_tools.core.web_server import Address, serve
from dataset_tools.manifests import SpeakerFacts, resolve
from dataset_tools.speech.booth.sessions import Booth, as_json
from dataset_tools.speech.booth.skips import SkipReason

MOST_BYTES = 8 * 2**20
"""Largest upload: half a minute at 96 kHz, 16 bits, with some margin."""
_DECODED_AT_ONCE = 2
_LONGEST_SENTENCE = 2**16
"""In characters; the sentence is written to a file unmodified."""

_PAGE = Path(__file__).parent
_FILES = {"": _PAGE / "booth.html", "booth.js": _PAGE / "booth.js", "microphone.js": MICROPHONE}


class _Speaker(msgspec.Struct):
    """Sign-in of a speaker.

    Attributes:
        same: whether this is the person of that name who recorded here before.
        anew: whether this is the person who withdrew consent, and renews it.
        speaker: metadata stated by the speaker.
    """

    name: str
    agreed: bool
    same: bool | None = None
    anew: bool = False
    speaker: SpeakerFacts = SpeakerFacts()


class _Skip(msgspec.Struct):
    """Reason why a speaker skips a sentence, and the sentence as shown on the page."""

    reason: SkipReason
    sentence: Annotated[str, msgspec.Meta(max_length=_LONGEST_SENTENCE)]


def serve_booth(booth: Booth, address: Address, *, announce: Callable[[str], None]) -> None:
    """Serves the booth until it is interrupted.

    Args:
        booth: the recording sessions.
        address: address to listen on.
        announce: callback, called with the URL of the page. The URL contains a secret; it stays the same between runs
            (``cache/booth/address``).

    Raises:
        InputError: the address cannot be used.
    """
    with suppress(StoppedError):  # another command is working, possibly another booth
        booth.clean_up()
    serve(lambda token: make_app(booth, token), address, booth.folder / "address", announce)


def make_app(booth: Booth, token: str) -> web.Application:
    """Creates the aiohttp application of the booth; all routes start with ``/<token>/``."""
    page = _Page(booth)
    routes = [
        *page_routes(_FILES),
        web.get("/{token}/api/state", page.state),
        web.get("/{token}/clips/{clip}", page.clip),
        web.get("/{token}/recordings/{clip}", page.recording),
        web.post("/{token}/api/speakers", page.speaker),
        web.post("/{token}/api/lines", page.lines),
        web.post("/{token}/api/skips", page.skip),
        web.post("/{token}/api/check", page.check),
        web.post("/{token}/api/takes", page.take),
    ]
    return guarded_application(token, routes, most_bytes=MOST_BYTES)


class _Page:
    """Request handlers. Names sent by clients are looked up; they never become part of a path."""

    def __init__(self, booth: Booth) -> None:
        self._booth = booth
        self._writing = asyncio.Lock()
        self._decoding = asyncio.Semaphore(_DECODED_AT_ONCE)

    async def state(self, request: web.Request) -> web.StreamResponse:
        voice = request.query.get("voice", "")
        state = await asyncio.to_thread(self._booth.state, voice)
        return web.json_response({**state, "admitted": self._booth.consents.is_admitted(voice)})

    async def clip(self, request: web.Request) -> web.StreamResponse:
        clip = self._booth.clips.get(request.match_info["clip"])
        return file_response(None if clip is None else resolve(self._booth.workspace.root, clip.path))

    async def recording(self, request: web.Request) -> web.StreamResponse:
        voice = request.query.get("voice", "")
        return file_response(await asyncio.to_thread(self._booth.recording, request.match_info["clip"], voice))

    async def speaker(self, request: web.Request) -> web.StreamResponse:
        body = await json_body(request, _Speaker)
        async with self._writing:
            if body.same is None and (known := await asyncio.to_thread(self._booth.consents.known, body.name)):
                return web.json_response({"voice": None, "known": known})
            if body.same is None and (withdrawn := self._booth.consents.withdrawn(body.name)):
                return web.json_response({"voice": None, "withdrawn": withdrawn})
            admit = partial(
                self._booth.consents.admit,
                agreed=body.agreed,
                other=body.same is False,
                anew=body.anew,
                speaker=body.speaker,
            )
            voice = await asyncio.to_thread(admit, body.name)
        return web.json_response({"voice": voice})

    async def lines(self, request: web.Request) -> web.StreamResponse:
        wanted, voice = await json_body(request, list[str]), self._voice_of(request)
        held = self._booth.hold([clip for clip in wanted if clip in self._booth.lines], voice)
        return web.json_response({"held": held})

    async def skip(self, request: web.Request) -> web.StreamResponse:
        body = await json_body(request, _Skip)
        self._voice_of(request)
        self._booth.skips.add(self._booth.line(request.query.get("clip", "")).clip.id, body.sentence, body.reason)
        return web.json_response({})

    async def check(self, request: web.Request) -> web.StreamResponse:
        async with self._decoding:
            return web.json_response(as_json(await asyncio.to_thread(self._booth.check, await request.read())))

    async def take(self, request: web.Request) -> web.StreamResponse:
        voice = self._voice_of(request)
        clip, sentence = (request.query.get(name, "") for name in ("clip", "sentence"))
        sound = await request.read()
        async with self._writing, self._decoding:
            row = await asyncio.to_thread(self._booth.keep, clip, voice, sentence, sound)
        return web.json_response({"id": row.id, "take": row.take, "warnings": row.utterance.quality["warnings"]})

    def _voice_of(self, request: web.Request) -> str:
        """Returns the voice that a request names.

        Raises:
            InputError: its speaker has not agreed, or withdrew.
        """
        voice = request.query.get("voice", "")
        if not self._booth.consents.is_admitted(voice):
            raise InputError(
                "You have not agreed to the consent text of this booth, or have withdrawn your consent",
                next_step="reload the page and enter your name",
            )
        return voice
