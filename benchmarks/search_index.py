"""Benchmark of the search index: a gallery of a million items, against exhaustive scoring in the same run.

    python benchmarks/search_index.py RUN MANIFEST [--rows 1000000] [--queries 50] [--threads 2]
        [--folder DIR] [--usearch]

RUN is a trained run of FMN, MANIFEST a manifest of its data set. The gallery is generated from the mapped vectors of
its clips, so that it has their distribution: half the difference of two other clips of the class is added to the vector
of a clip (new clips of the classes), then Gaussian noise of a tenth of its length in all dimensions (so that a low
intrinsic dimension does not make the search easy), and the sum is normalized. Slots and weights are those of the run;
the queries are the utterances of the data set.

Agreement is the fraction of the best 25 by exhaustive scoring that the index finds. Then a tenth of the gallery is
removed, as many items are added, and agreement is measured again.

With --usearch (pip install usearch), usearch's graph (HNSW) is compared with FAISS's inverted lists on the same score
vectors: time to build the index, and to find the candidates of a query, without ranking them. An appended dimension
gives all item vectors the same length, so that the largest inner product is the largest cosine; without it, the graph
finds a quarter.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fmn.models.retrieval_model import Embeddings, RetrievalModel, score_matrix
from fmn.search.gallery_index import CANDIDATES, GalleryIndex
from fmn.search.gallery_search import Gallery
from fmn.search.search_results import GallerySource, best_of
from fmn.torch_threads import threads
from fmn.training.checkpoint import load_run

TOP = 25
AIM_MS, AIM_AGREEMENT = 10, 0.99
DIFFERENCE, NOISE = 0.5, 0.1


class MadeUp:
    """Vectors of synthetic items by number: the same number gives the same vector.

    Args:
        mapped: [n, D], the mapped vectors of real items. classes: [n], their classes.
    """

    def __init__(self, mapped: Tensor, classes: Sequence[str]) -> None:
        self._mapped = mapped
        names = np.unique(classes, return_inverse=True)[1]
        self._of_class = [np.flatnonzero(names == name) for name in names]

    def rows(self, start: int, count: int) -> Tensor:
        """[count, D]."""
        draws = np.random.default_rng((7, start))
        chosen = draws.integers(len(self._mapped), size=count)
        pairs = np.array([draws.choice(self._of_class[item], 2) for item in chosen])
        found = self._mapped[chosen] + DIFFERENCE * (self._mapped[pairs[:, 0]] - self._mapped[pairs[:, 1]])
        noise = draws.standard_normal(tuple(found.shape), dtype=np.float32) / found.shape[1] ** 0.5
        return functional.normalize(found + NOISE * torch.from_numpy(noise), dim=1)


BLOCK = 1000


def encoder(
    model: RetrievalModel, made_up: MadeUp, numbers: NDArray[np.int64]
) -> Callable[[Sequence[int]], Embeddings]:
    """Returns a function that encodes the items at positions of a gallery of these numbers; draws and caches blocks."""
    blocks: dict[int, Tensor] = {}

    def encode(places: Sequence[int]) -> Embeddings:
        wanted = numbers[np.asarray(places)]
        for block in set((wanted // BLOCK).tolist()) - blocks.keys():
            blocks[block] = made_up.rows(block * BLOCK, BLOCK).half()  # half the memory; used by both searches
        rows = torch.stack([blocks[number // BLOCK][number % BLOCK] for number in wanted.tolist()]).float()
        return model.for_search("video", {"mapped": functional.normalize(rows, dim=1)})

    return encode


def one(embeddings: Embeddings, number: int) -> Embeddings:
    return {name: part[number : number + 1] for name, part in embeddings.items()}


def scored(embeddings: Embeddings) -> Embeddings:
    """The parts of embeddings that the score needs: the rest would take a gigabyte."""
    return {name: embeddings[name] for name in ("half", "log_shares")}


def compared(model: RetrievalModel, index: GalleryIndex, count: int, queries: Embeddings) -> dict[str, float]:
    """Agreement and times of both searches, one query at a time."""
    agreements, times = [], {"index": [], "exhaustive": []}  # type: ignore[var-annotated]
    busy = dict.fromkeys(times, 0.0)
    total = len(queries["half"])
    index.candidates(one(queries, 0))
    for number in range(total):
        query = one(queries, number)
        found = {}
        for name in times:
            started, cpu_started = time.perf_counter(), time.process_time()
            if name == "index":
                places = index.candidates(query)
                scores = score_matrix(model, index.embeddings_of(places), query).numpy()[:, 0]
            else:
                places = np.arange(count)
                parts = [scored(index.embeddings_of(places[at : at + 65_536])) for at in range(0, count, 65_536)]
                # The embeddings are assumed to be in memory.
                started, cpu_started = time.perf_counter(), time.process_time()
                scores = np.concatenate([score_matrix(model, part, query).numpy()[:, 0] for part in parts])
                del parts
            found[name] = set(places[best_of(scores, TOP)].tolist())
            times[name].append(1000 * (time.perf_counter() - started))
            busy[name] += 1000 * (time.process_time() - cpu_started) / total
        agreements.append(len(found["index"] & found["exhaustive"]) / TOP)
    return {
        "agreement": float(np.mean(agreements)),
        "least_agreement": min(agreements),
        "index_ms": float(np.median(times["index"])),
        "index_p95_ms": float(np.quantile(times["index"], 0.95)),
        "index_processor_ms": busy["index"],
        "exhaustive_ms": float(np.median(times["exhaustive"])),
        "exhaustive_processor_ms": busy["exhaustive"],
    }


def usearch_peer(index: GalleryIndex, count: int, queries: Embeddings, model: RetrievalModel) -> dict[str, Any]:
    """Time to find candidates with usearch and with FAISS, and the fraction of the best 25 by score among them."""
    from usearch.index import Index

    vectors = np.concatenate(
        [
            index._vectors.items(index.embeddings_of(np.arange(at, min(count, at + 65_536)))).numpy()
            for at in range(0, count, 65_536)
        ]
    )
    squares = np.square(vectors).sum(1)
    longest = squares.max()
    graph = Index(ndim=vectors.shape[1] + 1, metric="cos", dtype="f32", connectivity=16, expansion_add=128)
    started, cpu_started = time.perf_counter(), time.process_time()
    graph.add(np.arange(count), np.column_stack([vectors, np.sqrt(longest - squares)]), threads=torch.get_num_threads())
    found = {"build_s": time.perf_counter() - started, "build_processor_s": time.process_time() - cpu_started}
    del vectors
    graph.expansion_search = 2 * CANDIDATES
    times, shares = {"usearch": [], "faiss": []}, {"usearch": [], "faiss": []}  # type: ignore[var-annotated]
    for number in range(len(queries["half"])):
        query = one(queries, number)
        scores = [
            score_matrix(model, scored(index.embeddings_of(np.arange(at, min(count, at + 65_536)))), query).numpy()[
                :, 0
            ]
            for at in range(0, count, 65_536)
        ]
        best = set(best_of(np.concatenate(scores), TOP).tolist())
        vector = index._vectors.query(query, index._sample, index._sample_vectors).numpy()
        extended = np.append(vector, np.float32(0))
        for name, search in (
            ("usearch", lambda extended=extended: graph.search(extended, CANDIDATES).keys),
            ("faiss", lambda query=query: index.candidates(query)),
        ):
            started = time.perf_counter()
            places = search()
            times[name].append(1000 * (time.perf_counter() - started))
            shares[name].append(len(best & set(np.asarray(places).tolist())) / TOP)
    for name in times:
        found |= {
            f"{name}_ms": float(np.median(times[name])),
            f"{name}_share": float(np.mean(shares[name])),
            f"{name}_least_share": min(shares[name]),
        }
    return found


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2, help="torch threads on the CPU")
    parser.add_argument("--seed", type=int, default=1, help="seed of the choice of queries")
    parser.add_argument("--folder", type=Path, help="folder of the index, which is kept (default: a temporary folder)")
    parser.add_argument("--usearch", action="store_true", help="also measure usearch on the same vectors")
    options = parser.parse_args(arguments)
    if options.usearch:
        import usearch.index  # noqa: F401 - fails before an index of a million is built if it is missing
    cpu = torch.device("cpu")
    loaded = load_run(options.run, cpu)
    source = GallerySource(options.manifest, everything=True)
    clips, utterances = (
        Gallery(loaded, source.rows(kind), kind, source, device=cpu)  # type: ignore[arg-type]
        for kind in ("speech", "clip")
    )
    chosen = np.random.default_rng(options.seed).permutation(len(utterances.rows))[: options.queries]
    queries = utterances.embeddings_of(chosen)
    real = clips.embeddings_of(np.arange(len(clips.rows)))["mapped"]
    made_up = MadeUp(real, [row.class_id for row in clips.rows])
    found: dict[str, Any] = {**vars(options)}
    with TemporaryDirectory() as temporary, threads(options.threads):
        for step, first in (("built", 0), ("updated", options.rows // 10)):
            numbers = np.arange(first, first + options.rows)
            items = [(str(number), "") for number in numbers]
            encode, started = encoder(loaded.model, made_up, numbers), time.perf_counter()
            folder = options.folder or Path(temporary)
            index = GalleryIndex.open(folder, loaded.model, "video", "made up", items, encode)
            found[f"{step}_s"] = time.perf_counter() - started
            found[f"{step}_peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            del encode
            found[step] = compared(loaded.model, index, options.rows, queries)
            if options.usearch and step == "built":
                found["usearch"] = usearch_peer(index, options.rows, queries, loaded.model)
        found["disk_mb"] = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
    for step in ("built", "updated"):
        at = found[step]
        ratio, busy = (at[f"exhaustive{unit}"] / at[f"index{unit}"] for unit in ("_ms", "_processor_ms"))
        reached = at["agreement"] >= AIM_AGREEMENT and at["index_ms"] <= AIM_MS
        print(f"{step} in {found[f'{step}_s']:.0f} s, peak memory {found[f'{step}_peak_mb']:,.0f} MB")
        print(f"  exhaustive {at['exhaustive_ms']:9.1f} ms {at['exhaustive_processor_ms']:9.1f} CPU ms")
        print(f"  index      {at['index_ms']:9.1f} ms {at['index_processor_ms']:9.1f} CPU ms", end="")
        print(f", 95 % within {at['index_p95_ms']:.1f} ms")
        print(f"  {ratio:.0f} × faster, {busy:.0f} × by CPU time; agreement@{TOP} {at['agreement']:.4f}", end=" ")
        outcome = "reached" if reached else "missed"
        print(f"(minimum {at['least_agreement']:.2f}); goal of {AIM_MS} ms and {AIM_AGREEMENT} {outcome}")
    if options.usearch:
        at = found["usearch"]
        print(f"usearch built in {at['build_s']:.0f} s; candidates in {at['usearch_ms']:.1f} ms", end=", ")
        print(f"{at['usearch_ms'] / at['faiss_ms']:.1f} × the lists of FAISS; of the best {TOP}", end=" ")
        print(f"{at['usearch_share']:.3f} among them (minimum {at['usearch_least_share']:.2f}),", end=" ")
        print(f"FAISS {at['faiss_share']:.3f} ({at['faiss_least_share']:.2f})")
    print(json.dumps(found, default=str))
    return found


if __name__ == "__main__":
    main()
