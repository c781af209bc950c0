"""People's decisions, through Label Studio: tasks out (`push`), decisions back (`pull`), and which of them counts.

The SDK is an extra (``review``) and is imported when a server is talked to, not before.
"""

from __future__ import annotations

from dataset_tools.decisions.journal import ReviewRow, read_reviews, reviews_path
from dataset_tools.decisions.majority_rule import Decision, decide, still_refers
from dataset_tools.review.labeling import labeling_config
from dataset_tools.review.pulling import PullSummary, pull, pull_from_file, watch
from dataset_tools.review.push_summary import PushSummary
from dataset_tools.review.pushing import push, push_to_file
from dataset_tools.review.review_status import ReviewStatus, status, status_tables
from dataset_tools.review.workspace_server import Target, find_server, login_file, serve, stop

__all__ = [
    "Decision",
    "PullSummary",
    "PushSummary",
    "ReviewRow",
    "ReviewStatus",
    "Target",
    "decide",
    "find_server",
    "labeling_config",
    "login_file",
    "pull",
    "pull_from_file",
    "push",
    "push_to_file",
    "read_reviews",
    "reviews_path",
    "serve",
    "status",
    "status_tables",
    "still_refers",
    "stop",
    "watch",
]
