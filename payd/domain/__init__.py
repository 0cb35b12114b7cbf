"""Payments as pure values and rules: the same input always gives the same output.

May import the standard library and attrs. Nothing here awaits, reads a clock, makes an id or logs.
Code that waits belongs in `adapters`, behind a port; code that only orders steps, in `service`.
"""
