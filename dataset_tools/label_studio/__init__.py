"""Label Studio: push of tasks, pull of decisions.

The SDK is an extra (``review``) and is imported when a server is talked to, not before.
"""
