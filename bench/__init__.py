"""Throughput, latency and cost, measured side by side in one run.

`python -m bench` (make bench) starts its own PostgreSQL and NATS, and measures pgbench, a
minimal grpc.aio server and payd one after the other on the same database.
"""
