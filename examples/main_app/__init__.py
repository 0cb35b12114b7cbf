"""A main app: users and subscriptions, paid through payd. It imports of payd only `payd_client`.

api (the door) → checkout (asks payd) → store (SQL) ← activation (hears payd's events).
"""
