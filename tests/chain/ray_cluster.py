"""A Ray cluster of this machine, for tests: three nodes that work, one the head. Prints its address; kills nodes.

It is a process of its own, so that what Ray does to a process (warnings, threads, signals) is not done to the tests.
"""

from __future__ import annotations

import os
import sys

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"

from ray.cluster_utils import Cluster

MEMORY = 80 << 20
NOTICE_SOONER = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 1000}
"""Checks of nodes for one that died; by default, every 3 s after 5 s."""


def main() -> None:
    # Commands ask for no logs (log_to_driver=False), and nothing scales: such processes take a second each to start.
    node = {"num_cpus": 1, "object_store_memory": MEMORY, "include_log_monitor": False}
    head = {**node, "include_dashboard": False, "no_monitor": True, "_system_config": NOTICE_SOONER}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = [cluster.add_node(**node) for _ in range(2)]
    cluster.wait_for_nodes()
    print(cluster.address, flush=True)
    for line in sys.stdin:
        if line.strip() == "kill":
            cluster.remove_node(nodes.pop(), allow_graceful=False)
            print("killed", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
