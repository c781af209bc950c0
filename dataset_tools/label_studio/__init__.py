"""Label Studio: push of tasks, pull of decisions.

The SDK is an optional dependency (extra ``review``) and is imported only when a server is contacted.
"""
