"""The operator's hand: `payd` and its commands.

May import everything, but only when a command runs: `payd --help` loads nothing heavy. What a
command does belongs in the room it calls; here is what is typed and what is shown.
"""
