"""A stand-in for Stripe's API, hosted checkout page and webhooks, for `payd dev` and tests.

It speaks the same HTTP as Stripe, so the provider that runs against it is the one that runs in
production; no money moves, and faults are injected through `/_control/`.
Start it with `app.open_stand_in`, or as a process of its own: `python -m stripe_provider.companion`.
"""
