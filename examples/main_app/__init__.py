"""Example main app: users and subscriptions, paid through payd. It imports only `payd_client`.

api (HTTP) → checkout (calls payd) → store (SQL) ← activation (handles payd's events).
"""
