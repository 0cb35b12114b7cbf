"""The audit trail as a chain of hashes: its bytes, its signatures, its export and its proof."""
