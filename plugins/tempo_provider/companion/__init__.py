"""Play the remote side in development and tests: a local chain and scripted nodes."""
