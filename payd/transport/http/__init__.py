"""The HTTP server: health, readiness, payment methods, webhooks; metrics on a port of their own.

May import services, ports and domain. `payd.daemon.readiness` decides what readiness means.
"""
