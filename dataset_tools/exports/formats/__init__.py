"""Export formats, one module per format, and shared parts: shards, table columns, pairs as JSONL."""
