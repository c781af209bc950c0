"""Building a data set from footage to manifests, and verifying one."""
