"""What is true: values and rules, pure.

May import the standard library and attrs. No await, no clock, no id, no log.
What waits belongs in `adapters` behind a port; what decides nothing belongs in `service`.
"""
