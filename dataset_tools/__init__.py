"""Data set builder: from footage to manifests of clips, utterances and pairs."""
