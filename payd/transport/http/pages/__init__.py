"""The payment page: what a payment's customer sees, made on the server.

`routes` answers requests, `view` says what stands on a page, `situations` which words a payment
needs, and `en.json` has all texts.
"""
