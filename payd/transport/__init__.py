"""Doors: decode, call one use case, encode. No rule lives here.

May import the services, ports, proto and domain; never an adapter. What a request must look
like belongs in `proto.requests`; who runs the doors is `nursery`.
"""
