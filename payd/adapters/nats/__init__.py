"""NATS JetStream: connection, identity, streams and the publisher of events."""

from payd.spared import without

# For NATS over WebSockets, which payd does not use: 7 MiB and a tenth of a second.
with without("aiohttp"):
    import nats.aio.client as nats_client

__all__ = ["nats_client"]
