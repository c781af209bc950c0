"""The export formats, one file a format, and what several of them share: shards, columns of tables, pairs as JSONL."""
