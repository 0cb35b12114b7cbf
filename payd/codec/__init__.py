"""Domain values ⇄ protobuf messages.

May import the domain, and the generated code of the client. `requests` parses and refuses what a
caller sends, `messages` builds what payd answers and publishes. The gRPC status of an error is
chosen in `transport.problems`.
"""
