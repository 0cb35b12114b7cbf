"""The gRPC server: TLS, allowed clients, limits, health, reflection, drain.

May import grpclib, services, ports, codec and domain. What a request must look like is in
`codec.requests`; the status of an error is in `transport.problems`.
"""
