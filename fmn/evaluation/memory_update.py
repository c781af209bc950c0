"""Memory updates at test time (paper, section 3.4: "updated in training and testing").

The result then depends on the order of the queries, so it is averaged over several orders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataset_tools.core.errors import InputError
from dataset_tools.core.seeds import training_generator
from fmn.data.items import Items
from fmn.evaluation.breakdown import summarized
from fmn.metrics.chosen_metrics import chosen_metrics
from fmn.metrics.directions import Direction, by_direction, queries_and_gallery
from fmn.metrics.retrieval_metrics import retrieval_metrics
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.retrieval_model import Embeddings, eval_mode
from fmn.training.checkpoint import LoadedRun

HOW = (
    "Memories updated at test time: each query is scored and then written with its top result, if S1 > T1, before the "
    "next query is scored. Mean ± sd over random orders of the queries."
)


def updatable(loaded: LoadedRun) -> FeatureMemoryNetwork:
    """Returns the model of a run if its memories can be updated.

    Raises:
        InputError: the score reads no memories, or reads them during encoding (``model.step_attention``); or the run
            has learned new classes.
    """
    model = loaded.model
    if not isinstance(model, FeatureMemoryNetwork) or not model.reads_memories:
        raise InputError(
            "There is no memory to update: the system's score does not read memories",
            where=loaded.path,
            expected="a run of fmn whose model.score reads the memories",
            next_step="leave out --update-memory",
        )
    if model.attention is not None:
        raise InputError(
            "With step attention, items are encoded with the slots, and every query written would change the slots",
            where=f"model.step_attention={model.config.model.step_attention} of {loaded.path}",
            expected="a run without step attention",
            next_step="leave out --update-memory, or train with model.step_attention=off",
        )
    if model.new_classes is not None:
        raise InputError(
            "The run has learned new classes, whose memory only fmn learn writes",
            where=loaded.path,
            expected="a run without classes learned after training",
            next_step="leave out --update-memory, or use a run without new classes",
        )
    return model


def measure_while_updating(
    loaded: LoadedRun,
    clips: Embeddings,
    utterances: Embeddings,
    items: Items,
    *,
    orders: int,
    metric_names: Sequence[str] = (),
    done: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Measures both directions while each query is written to the memories, in several orders.

    Every order starts from the memories of the run, which are restored afterwards. Class labels are not used: a query
    is written with its top result, whether correct or not.

    Args:
        loaded: the run.
        clips: embeddings of N clips.
        utterances: embeddings of M utterances.
        items: these clips and utterances.
        orders: number of orders of the queries.
        metric_names: additional metrics, stored under ``chosen`` (`fmn.metrics.chosen_metrics.parse_metrics`).
        done: called with the number of orders done and their total, over both directions.

    Returns:
        By direction, a block like that of `fmn.metrics.retrieval_metrics.retrieval_metrics`, with means over the orders
        and ``sd``; in addition ``orders`` and ``how``.

    Raises:
        InputError: see `updatable`.
    """
    model = updatable(loaded)
    clip_classes = [row.class_id for row in items.clips]
    utterance_classes = [row.class_id for row in items.utterances]
    results: dict[str, Any] = {"orders": orders, "how": HOW}
    total, through = 2 * orders, 0
    kept = {name: tensor.clone() for name, tensor in model.memory.state_dict().items()}
    with eval_mode(model):
        s1 = model.s1_matrix(clips, utterances).float()
    for direction, (own, relevant) in by_direction(items.partner_matrix, items.relevant):
        queries, gallery = queries_and_gallery(direction, clip_classes, utterance_classes)
        blocks = []
        for number in range(orders):
            rng = training_generator(loaded.config.training.seed, "query order", direction, number)
            order = rng.permutation(len(queries))
            scores = scores_while_updating(model, clips, utterances, s1, order, direction)
            model.memory.load_state_dict(kept)
            block = retrieval_metrics(scores, queries, gallery, own)
            if metric_names:
                block["chosen"] = chosen_metrics(scores, relevant, own, metric_names)
            blocks.append(block)
            through += 1
            done(through, total)
        results[direction] = summarized(blocks)
    return results


def scores_while_updating(
    model: FeatureMemoryNetwork,
    clips: Embeddings,
    utterances: Embeddings,
    s1: Tensor,
    order: NDArray[np.int64],
    direction: Direction,
) -> NDArray[np.float32]:
    """Scores queries one by one, writing each to the memories before the next.

    Args:
        model: the model whose memories are written.
        clips: embeddings of N clips.
        utterances: embeddings of M utterances.
        s1: [N, M] logits of S1.
        order: the order of the queries.
        direction: query → gallery.

    Returns:
        [queries, gallery], in the order of the items, regardless of ``order``.
    """
    space, threshold = model.config.memory.space, model.config.memory.score_threshold
    rows: dict[int, Tensor] = {}
    with eval_mode(model):
        for query in order.tolist():
            one = slice(query, query + 1)
            if direction == "audio_to_video":
                query_embeddings = {name: tensor[one] for name, tensor in utterances.items()}
                scores = model.final_score(clips, query_embeddings, s1[:, one])[:, 0]
            else:
                query_embeddings = {name: tensor[one] for name, tensor in clips.items()}
                scores = model.final_score(query_embeddings, utterances, s1[one])[0]
            found = int(scores.argmax())
            clip, utterance = (found, query) if direction == "audio_to_video" else (query, found)
            model.memory.write(
                clips[space][clip : clip + 1],
                utterances[space][utterance : utterance + 1],
                torch.sigmoid(s1[clip, utterance])[None],
                score_threshold=threshold,
            )
            rows[query] = scores.float().cpu()
    stacked: NDArray[np.float32] = torch.stack([rows[query] for query in sorted(rows)]).numpy()
    return stacked
