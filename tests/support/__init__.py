"""What the tests share: servers of their own, clients, and memory adapters."""
