"""Query answering: ranked clips or utterances, predicted class, and explanation."""

from __future__ import annotations

import hashlib
import shlex
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dataset_tools.core.audio_decoding import decode
from dataset_tools.core.errors import InputError, SampleError
from dataset_tools.core.media_formats import OPENED_ALONE, video_stream
from dataset_tools.core.progress import Progress, silent
from dataset_tools.manifests import ClipRow, UtteranceRow
from fmn.evaluation.class_vote import class_vote, ranked
from fmn.models.retrieval_model import Embeddings
from fmn.search.gallery_search import Gallery
from fmn.search.query_files import clip_doubts, finish_query
from fmn.search.query_preparation import own_features, spoken_query
from fmn.search.search_results import QUERY_KINDS, QueryKind
from fmn.search.text_query import main_language
from fmn.serve.shown_items import ShownItems, not_there
from fmn.serve.slot_reasons import slot_reader
from fmn.training.checkpoint import LoadedRun

TOP = 25
"""Number of hits in an answer."""
MOST_KEPT = 64
"""Number of external queries whose files are kept (the latest ones)."""
LONGEST_TEXT = 300
_BARS = 160


@dataclass(frozen=True, eq=False)
class EncodedQuery:
    """An encoded query.

    Attributes:
        kind: speech or clip. embeddings: those of one item.
        card: its data for the page. row: its item, or None if it is not in the data set.
        notes: its caveats. embedding_s: time to encode it, in seconds; None: it is part of a gallery.
    """

    kind: QueryKind
    embeddings: Embeddings
    card: dict[str, Any]
    row: ClipRow | UtteranceRow | None
    notes: tuple[str, ...] = ()
    embedding_s: float | None = None


class Queries:
    """Both galleries of a run, which answer queries while the page is served.

    Threads may call its methods at the same time.

    Attributes:
        items: the items that the page may show. galleries: by kind of query.
        failures: items without features by id, with the reason; they are not searched.
    """

    def __init__(
        self,
        loaded: LoadedRun,
        items: ShownItems,
        folder: Path,
        *,
        voices: str = "espeak",
        device: torch.device,
        jobs: int | None = None,
        progress: Progress = silent,
    ) -> None:
        """Encodes both galleries.

        Args:
            loaded: the run.
            items: the items that may be shown.
            folder: for files of external queries, while the page is served.
            voices: the speech engine that synthesizes typed queries.
            device: on which the run was loaded.
            jobs: workers for features; None: one per core.
            progress: progress callback.

        Raises:
            InputError: the features do not match the run.
        """
        self.items, self._loaded, self._folder, self._voices = items, loaded, folder, voices
        self._language = main_language(items.source)
        self.galleries = {
            kind: Gallery(loaded, items.rows(kind), kind, items.source, device=device, jobs=jobs, progress=progress)
            for kind in QUERY_KINDS
        }
        self.failures = {
            name: error.found for gallery in self.galleries.values() for name, error in gallery.failures.items()
        }
        self._places = {
            row.id: (kind, place) for kind, gallery in self.galleries.items() for place, row in enumerate(gallery.rows)
        }
        self._classes = sorted({row.class_id for gallery in self.galleries.values() for row in gallery.rows})
        self._numbers = {
            kind: np.array([self._classes.index(row.class_id) for row in gallery.rows])
            for kind, gallery in self.galleries.items()
        }
        self._slots = slot_reader(loaded)
        self._kept: OrderedDict[str, Path] = OrderedDict()
        self._keeping, self._speaking = threading.Lock(), threading.Lock()

    def state(self) -> dict[str, Any]:
        """Returns the page's data on the run and on the items searched."""
        speech, clip = self.galleries["speech"], self.galleries["clip"]
        notes = (*speech.notes(clip.features, TOP), *clip.notes(speech.features, TOP))
        return {
            "run": self._loaded.path.resolve().name,
            "system": self._loaded.config.system,
            "push": f"fmn-data annotate push --workspace {shlex.quote(str(self.items.workspace.resolve()))} --ids",
            "searched": "the whole data set" if self.items.source.everything else self.items.manifest.name,
            "standin": self.items.standin is not None,
            "classes": self._classes,
            "clips": len(speech.rows),
            "utterances": len(clip.rows),
            "notes": list(dict.fromkeys((*notes, *speech.notes_of_known, *clip.notes_of_known))),
            "failures": self.failures,
        }

    def keep(self, content: bytes) -> str:
        """Stores an external sound or clip as a query; returns its name, the SHA-256 of the content."""
        name = hashlib.sha256(content).hexdigest()
        with self._keeping:
            if name not in self._kept:  # else another thread may be reading it
                (self._folder / name).write_bytes(content)
            self._kept[name] = self._folder / name
            self._kept.move_to_end(name)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)[1].unlink(missing_ok=True)
        return name

    def kept(self, name: str) -> Path | None:
        """Returns the file that `keep` stored under this name, while it is kept."""
        return self._kept.get(name)

    def is_in_gallery(self, *, id: str = "", query: str = "", text: str = "") -> bool:
        """Whether a query (see `encoded`) is an item of a gallery, by id or content: its embeddings are known then."""
        known = self.items.of_content(query)
        return (known.id if known is not None else id) in self._places

    def encoded(self, *, id: str = "", query: str = "", text: str = "") -> EncodedQuery:
        """Encodes an item of the data set, a stored file or a typed sentence (exactly one of them).

        Raises:
            InputError: there is no such item or file, or it cannot be used.
            SampleError: a sound is rejected.
        """
        return self._typed(text) if text else self._file(query) if query else self._item(id)

    def answer(self, encoded: EncodedQuery) -> dict[str, Any]:
        """Ranks the gallery for a query."""
        started = time.perf_counter()
        gallery = self.galleries[encoded.kind]
        order, scores = gallery.best(encoded.embeddings, TOP)
        ranking_s = time.perf_counter() - started
        rows = [gallery.rows[index] for index in order]
        reasons: list[Any] = [[] for _ in rows]
        if self._slots is None:
            scores_of_all = gallery.scores(encoded.embeddings).T
            vote = class_vote(scores_of_all, self._numbers[encoded.kind], len(self._classes))
            voters = int(vote.neighbors[0])
            how = f"the classes of the best {voters} hits" if voters > 1 else "the class of the best hit"
            predicted = _best(vote.shares[0], ranked(vote.shares, vote.best)[0], self._classes, how)
        else:
            shares = self._slots.shares(encoded.embeddings)[0]
            reasons = self._slots.reasons(shares, self._slots.shares(gallery.embeddings_of(order)))
            predicted = _best(
                shares, np.argsort(-shares, kind="stable"), self._slots.names, "the memory slots that it selects"
            )
        return {
            "kind": encoded.kind,
            "query": encoded.card,
            "taken_for": predicted,
            "hits": [
                self.items.card(row) | {"rank": rank, "score": float(score), "why": why, **_relevance(encoded.row, row)}
                for rank, (row, score, why) in enumerate(zip(rows, scores, reasons, strict=True), start=1)
            ],
            "gallery": len(gallery.rows),
            "notes": list(encoded.notes),
            "embedding_ms": None if encoded.embedding_s is None else 1000 * encoded.embedding_s,
            "ranking_ms": 1000 * ranking_s,
        }

    def _item(self, name: str) -> EncodedQuery:
        try:
            row = self.items.find(name)
        except KeyError:
            raise not_there("clip or utterance") from None
        card = self.items.card(row) | {"media": f"media/{row.id}"}
        kind: QueryKind = "clip" if isinstance(row, ClipRow) else "speech"
        if kind == "speech":
            card |= _waveform(self.items.file(row))
        if name not in self._places:
            return self._encoded(kind, self.items.file(row), card, row)
        searched, place = self._places[name]
        return EncodedQuery(kind, self.galleries[searched].embeddings_of(np.array([place])), card, row)

    def _file(self, name: str) -> EncodedQuery:
        path = self.kept(name)
        if path is None:
            raise not_there("recording or file")
        known = self.items.of_content(name)
        if known is not None:
            return self._item(known.id)
        card: dict[str, Any] = {"id": None, "class": None, "media": f"queries/{name}"}
        if _is_clip(path):
            return self._encoded("clip", path, card, None, clip_doubts(path))
        if own_features(self._loaded.config, "speech"):
            return self._encoded("speech", path, card | _waveform(path), None)
        with TemporaryDirectory(dir=self._folder) as folder:
            wav, doubts = finish_query(path, Path(folder))
            return self._encoded("speech", wav, card | _waveform(path), None, doubts)

    def _typed(self, text: str) -> EncodedQuery:
        if len(text) > LONGEST_TEXT:
            raise InputError(
                f"The sentence has {len(text)} characters",
                expected=f"{LONGEST_TEXT} at most",
                next_step="shorten it",
            )
        with TemporaryDirectory(dir=self._folder) as folder:
            with self._speaking:  # an engine need not be thread-safe
                wav, note = spoken_query(text, self._loaded.config, Path(folder), self._language, engine=self._voices)
            name = self.keep(wav.read_bytes())
            card = {"id": None, "class": None, "sentence": text, "media": f"queries/{name}", **_waveform(wav)}
            return self._encoded("speech", wav, card, None, (note,))

    def _encoded(
        self,
        kind: QueryKind,
        path: Path,
        card: dict[str, Any],
        row: ClipRow | UtteranceRow | None,
        notes: tuple[str, ...] = (),
    ) -> EncodedQuery:
        started = time.perf_counter()
        cache = None if row is not None else self._folder / "features"  # keeps no data of an external voice
        embeddings, features = self.galleries[kind].encode(path, cache=cache)
        seconds = time.perf_counter() - started
        feature_notes = (features.note,) if features.note else ()
        return EncodedQuery(kind, embeddings, card, row, (*notes, *feature_notes), seconds)


def _best(shares: NDArray[np.float64], order: NDArray[np.intp], names: list[str], how: str) -> dict[str, Any]:
    """Returns the predicted classes of a query: the first three in order."""
    best = order[:3].tolist()
    return {"how": how, "classes": [{"class": names[index], "share": float(shares[index])} for index in best]}


def _relevance(query: ClipRow | UtteranceRow | None, hit: ClipRow | UtteranceRow) -> dict[str, Any]:
    """Returns whether a hit is of the query's class (None if that is unknown), and whether the two are a pair."""
    if query is None:
        return {"hit": None, "partner": False}
    clip, utterance = (query, hit) if isinstance(query, ClipRow) else (hit, query)
    partner = isinstance(utterance, UtteranceRow) and utterance.clip == clip.id
    return {"hit": query.class_id == hit.class_id, "partner": partner}


def _is_clip(path: Path) -> bool:
    """Whether a file has a video stream other than cover art."""
    import av

    try:
        with av.open(str(path.absolute()), **OPENED_ALONE) as container:
            return video_stream(container) is not None
    except (av.FFmpegError, OSError):
        return False


def _waveform(path: Path) -> dict[str, Any]:
    """Returns the peaks of 160 equal parts of a sound, relative to its overall peak, and its duration."""
    try:
        sound = decode(path)
    except SampleError:
        return {}
    samples = np.abs(np.nan_to_num(sound.mono()))
    edges = np.linspace(0, len(samples), _BARS + 1).astype(int)
    parts = pairwise(edges)
    peaks = np.array([samples[start : max(stop, start + 1)].max(initial=0.0) for start, stop in parts])
    return {"waveform": np.round(peaks / max(peaks.max(), 1e-9), 3).tolist(), "duration_s": sound.duration_s}
