"""PostgreSQL adapter: implements PaymentStore, Inbox, Outbox, Receipts and Leases on asyncio.

May import asyncpg, the ports and the codec. Every statement is in queries.sql; rules about payments
belong in `domain.decide`.
"""
