"""Croissant 1.1: croissant.json with the RAI fields, beside the tables of the format ``csv`` and their media.

``mlcroissant.Dataset("DIR/croissant.json")`` validates it. Its record sets ``clips``, ``utterances`` and ``pairs`` have
the columns of the tables. Media are file sets, and ``path`` is the file of a row: mlcroissant 1.1 cannot read video and
wav, so no field has their content.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dataset_tools.core.files import sha256_of
from dataset_tools.core.json_record import record_bytes
from dataset_tools.exports import facts_in_words
from dataset_tools.exports.dataset_facts import DatasetFacts
from dataset_tools.exports.exported_rows import TABLES, ExportedRows, TableName
from dataset_tools.exports.formats import csv_tables
from dataset_tools.exports.formats.table_columns import COLUMNS
from dataset_tools.exports.output_folder import OutputFolder
from dataset_tools.exports.registry import FormatOptions

_CONFORMS_TO = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
_TYPES = {str: "sc:Text", int: "sc:Integer", float: "sc:Float", bool: "sc:Boolean"}
_MEDIA: Mapping[TableName, tuple[str, str]] = {"clips": ("video/mp4", "mp4"), "utterances": ("audio/wav", "wav")}
_TERMS = (
    "arrayShape citeAs column conformsTo containedIn equivalentProperty extract field fileProperty fileObject fileSet"
)
_TERMS += " format includes isArray isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated"
_TERMS += " replace samplingRate separator source subField transform"
_CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    **{term: f"cr:{term}" for term in _TERMS.split()},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
}
"""The standard ``@context`` of Croissant 1.1."""


def write(rows: ExportedRows, output: OutputFolder, options: FormatOptions) -> None:
    """Write the tables and the media with `dataset_tools.exports.formats.csv_tables`, then croissant.json."""
    assert options.facts is not None
    csv_tables.write(rows, output, options)
    output.add("croissant.json", partial(_write_description, rows, output, options.facts))


def _write_description(rows: ExportedRows, output: OutputFolder, facts: DatasetFacts, path: Path) -> None:
    described = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        **_described(facts),
        "distribution": [one for table in TABLES for one in _distribution(table, rows, output)],
        "recordSet": [_record_set(table, with_media=rows.with_media and table in _MEDIA) for table in TABLES],
    }
    path.write_bytes(record_bytes(described))


def _described(facts: DatasetFacts) -> dict[str, Any]:
    """Metadata of the data set as a whole, with the Responsible AI (RAI) fields."""
    words = facts_in_words
    judged = [", ".join(row) for row in words.agreement(facts)]
    head = "field, annotators, doubly reviewed items, measure, value, Gwet's AC1: "
    keywords = ["video-speech retrieval", "cross-modal retrieval", "video", "speech"]
    return {
        "name": words.name(facts),
        "conformsTo": _CONFORMS_TO,
        "description": "Video clips, spoken descriptions of them, and pairs of both; see README.md.",
        "license": words.licenses(facts),
        "inLanguage": sorted(facts.utterances.languages),
        "keywords": [*keywords, *(["cooking"] if facts.is_of_cooking else [])],
        "rai:dataCollection": " ".join(words.collection(facts)),
        "rai:dataCollectionType": ["Software Collection" if facts.is_standin else "Secondary Data analysis"],
        "rai:dataAnnotationProtocol": words.annotation(facts),
        **({"rai:dataAnnotationAnalysis": [head + row for row in judged]} if judged else {}),
        "rai:dataLimitations": words.limits(facts),
        "rai:personalSensitiveInformation": [*words.speakers(facts), *words.personal(facts)],
        "rai:dataUseCases": ["Training and testing of retrieval between video and speech, within the limits above."],
    }


def _distribution(table: TableName, rows: ExportedRows, output: OutputFolder) -> list[dict[str, Any]]:
    """The table as a file object with its SHA-256, and its media as a file set; their SHA-256 are in the rows."""
    name = f"{table}.csv"
    path = output.root / name
    distribution: list[dict[str, Any]] = [
        {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "contentUrl": name,
            "contentSize": f"{path.stat().st_size} B",
            "encodingFormat": "text/csv",
            "sha256": sha256_of(path),
        }
    ]
    if rows.with_media and table in _MEDIA:
        encoding, suffix = _MEDIA[table]
        files = f"{table}-files"
        distribution.append(
            {
                "@type": "cr:FileSet",
                "@id": files,
                "name": files,
                "encodingFormat": encoding,
                "includes": f"{table}/*.{suffix}",
            }
        )
    return distribution


def _record_set(table: TableName, *, with_media: bool) -> dict[str, Any]:
    """Record set with the columns of a table and, with media, the path of each row's file."""
    fields = [_field(table, column.name, _TYPES[column.kind]) for column in COLUMNS[table]]
    if with_media:
        fields.append(_field(table, "path", "sc:Text"))
    return {"@type": "cr:RecordSet", "@id": table, "name": table, "key": {"@id": f"{table}/id"}, "field": fields}


def _field(table: TableName, name: str, kind: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{table}/{name}",
        "name": name,
        "dataType": kind,
        "source": {"fileObject": {"@id": f"{table}.csv"}, "extract": {"column": name}},
    }
