"""NATS JetStream: connection, identity, streams and the publisher of events."""
