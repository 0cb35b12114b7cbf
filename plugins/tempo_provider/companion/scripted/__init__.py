"""A scripted chain and its JSON-RPC nodes, for behaviour that a real chain cannot be made to show.

`events` builds contract logs, `chain` the blocks, `rpc` the responses of a node like reth; `node`
is the HTTP server with its faults, `lies` its false responses. Nothing here imports the provider's
code, so that a mistake there cannot repeat here.
"""
