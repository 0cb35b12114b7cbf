"""Servers: decode a request, call one use case, encode the answer. No business rule is here.

May import services, ports, codec and domain; never an adapter. What a request must look like is in
`codec.requests`; `nursery` starts the servers.
"""
