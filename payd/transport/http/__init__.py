"""The HTTP door: health, readiness, payment methods; metrics on a port of their own.

May import the services, ports and domain. What readiness means is decided by `nursery`.
"""
