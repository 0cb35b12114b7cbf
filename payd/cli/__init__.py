"""The command line: `payd` and its commands.

Commands import other packages inside their functions, so that `payd --help` loads nothing heavy.
This package parses arguments and prints results; the packages it calls do the work.
"""
