"""MTEB retrieval tasks of an exported data set: clips by speech (audio to video), speech by clips (video to audio).

`dataset_tools.exports.formats.mteb` copies this file into the export, where it does not depend on the toolkit::

    sys.path.insert(0, "DIR")
    from mteb_task import TASKS
    mteb.evaluate(model, [task() for task in TASKS], cache=None)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Audio, Video, load_dataset
from huggingface_hub import DatasetCard
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

FOLDER = Path(__file__).parent
_CODES = (
    "ar ara-Arab cs ces-Latn da dan-Latn de deu-Latn el ell-Grek en eng-Latn es spa-Latn fa fas-Arab fi fin-Latn"
    " fr fra-Latn he heb-Hebr hi hin-Deva hu hun-Latn id ind-Latn it ita-Latn ja jpn-Jpan ko kor-Hang nl nld-Latn"
    " nb nob-Latn no nor-Latn pl pol-Latn pt por-Latn ro ron-Latn ru rus-Cyrl sv swe-Latn th tha-Thai tr tur-Latn"
    " uk ukr-Cyrl ur urd-Arab vi vie-Latn zh zho-Hans"
)
SCRIPTS = dict(zip(_CODES.split()[::2], _CODES.split()[1::2], strict=True))
"""Codes of MTEB (ISO 639-3 and script) by code of the data set; another language is ``und-Zyyy``, undetermined."""
MEDIA = {"video": ("clips", Video), "audio": ("utterances", Audio)}


def _metadata(name: str, subset: str, category: str, description: str) -> Any:
    card = DatasetCard.load(FOLDER / "README.md").data
    return TaskMetadata(
        name=name,
        description=f"{description} Items of the same class are relevant. {card['pretty_name']}.",
        type="Any2AnyRetrieval",
        category=category,
        modalities=["audio", "video"],
        dataset={"path": str(FOLDER), "revision": "exported"},
        eval_splits=["test"],
        eval_langs={subset: sorted({SCRIPTS.get(language, "und-Zyyy") for language in card["language"]})},
        main_score="ndcg_at_10",
        is_public=False,
        bibtex_citation="",
    )


class ExportedRetrieval(AbsTaskRetrieval):  # type: ignore[misc]
    """Loads the test split of the export, offline.

    Attributes:
        decode: whether models get decoded media, which needs torchcodec and FFmpeg; else ``{"bytes", "path"}``.
    """

    decode = True
    data_loaded: bool
    query: str
    document: str

    def load_data(self, *_: Any, **__: Any) -> None:
        if self.data_loaded:
            return
        subset = f"{self.query}_to_{self.document}"
        relevant: dict[str, dict[str, int]] = {}
        for row in self._rows(f"qrels-{subset}", ("test",)):
            relevant.setdefault(row["query-id"], {})[row["corpus-id"]] = row["score"]
        split = {
            "queries": self._media(self.query),
            "corpus": self._media(self.document),
            "relevant_docs": relevant,
            "top_ranked": None,
        }
        self.dataset = {subset: {"test": split}}
        self.data_loaded = True

    def _media(self, modality: str) -> Any:
        table, feature = MEDIA[modality]
        # Items that `fmn-data pairs --split pairs` puts on both sides are test items, too.
        rows = self._rows(table, ("test", "both")).select_columns(["id", modality])
        return rows.cast_column(modality, feature(decode=self.decode))

    def _rows(self, table: str, splits: tuple[str, ...]) -> Any:
        files = [str(path) for split in splits for path in sorted(FOLDER.glob(f"data/{table}-{split}-*.parquet"))]
        if not files:
            raise FileNotFoundError(f"{FOLDER}/data has no {table} for testing: export a data set with a test split")
        return load_dataset("parquet", data_files=files, split="train")


class SpokenClipA2VRetrieval(ExportedRetrieval):
    """Retrieval of clips by a spoken description."""

    query, document = "audio", "video"
    metadata = _metadata("SpokenClipA2VRetrieval", "audio_to_video", "a2v", "Find clips by a spoken description.")


class SpokenClipV2ARetrieval(ExportedRetrieval):
    """Retrieval of spoken descriptions by a clip."""

    query, document = "video", "audio"
    metadata = _metadata("SpokenClipV2ARetrieval", "video_to_audio", "v2a", "Find spoken descriptions by a clip.")


TASKS = (SpokenClipA2VRetrieval, SpokenClipV2ARetrieval)
