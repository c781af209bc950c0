"""People's decisions, through Label Studio: tasks out (`push`), decisions back (`pull`), and which of them counts.

The SDK is an extra (``review``) and is imported when a server is talked to, not before.
"""
