"""Build of a data set from footage to manifests, verification, garbage collection."""
