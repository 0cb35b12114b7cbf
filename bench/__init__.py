"""Throughput, latency and cost, measured side by side in one run.

`python -m bench` (`make bench`) starts its own PostgreSQL and NATS, and measures pgbench, minimal
servers and payd one after the other on the same database. `--help` shows how to run a part of it.
"""
