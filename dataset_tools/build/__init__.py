"""Data set build from footage to manifests, verification, garbage collection."""
