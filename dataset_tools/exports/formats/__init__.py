"""Export formats, one file per format, and what they share: shards, table columns, pairs as JSONL."""
