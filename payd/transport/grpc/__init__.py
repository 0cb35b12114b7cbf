"""The gRPC door: TLS, who may call, limits, health, reflection, drain.

May import grpclib, the services, ports, proto and domain. What a request must look like belongs
in `proto.requests`; which status an error has belongs in `transport.problems`.
"""
