"""PostgreSQL behind the ports PaymentStore, Inbox and Outbox.

May import asyncpg, the ports and the codec; runs on asyncio. Every statement stands in
queries.sql; a rule about payments belongs in `domain.decide`.
"""
