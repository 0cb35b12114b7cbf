"""A scripted chain and its JSON-RPC nodes: what a real one cannot be told to do.

`events` is what contracts emit, `chain` the blocks, `rpc` what a node of reth's kind answers, `node`
the HTTP server with its faults, `lies` what it may say instead of the truth. Nothing here knows the
wheel that it tests.
"""
