"""Hosting provider plugins: find, load, call and fence them."""
