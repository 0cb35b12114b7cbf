"""Adapters: implementations of the ports, each with one library.

An adapter imports its own library, the ports, the codec and the domain, but no service and no
server. Rules about payments belong in `domain`, the order of steps in `service`.
"""
