"""Run payd's conformance checks against the provider."""

from acme_provider import MANIFEST
from acme_provider.conformance import open_remote

from payd.plugins.testing import conformance

test_acme = conformance(MANIFEST, open_remote)
