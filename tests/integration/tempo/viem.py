"""viem from npm: its version, and how long a program that uses it may take."""

VIEM = "viem@2.57.20"
#: Seconds for a program.
PATIENCE_S = 120
