"""Run payd's conformance checks against the provider."""

from sepa_provider import MANIFEST
from sepa_provider.conformance import open_remote

from payd.plugins.testing import conformance

test_sepa = conformance(MANIFEST, open_remote)
