"""The caller's side: a gRPC client, and the tail of the event stream.

May import the proto and the domain, grpclib and nats; runs on asyncio. Nothing of the daemon:
the main app installs payd for this room alone.
"""
