"""HTTP without TLS: httpx's functions read all certificates of the system for each call (30 ms)."""

import ssl
from functools import partial

import httpx

#: It trusts nobody: a call by https fails.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

get = partial(httpx.get, verify=NO_TLS)
post = partial(httpx.post, verify=NO_TLS)
request = partial(httpx.request, verify=NO_TLS)
