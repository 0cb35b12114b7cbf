"""Shared by the tests: real servers, clients, and memory adapters."""
