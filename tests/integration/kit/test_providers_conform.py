"""The providers of this repository pass every level that they claim."""

import acme_provider
import mock_provider
import sepa_provider
import stripe_provider
import tempo_provider
from acme_provider import conformance as acme_conformance
from integration.kit.broken import manifest_of
from integration.kit.instant_transfers import InstantProvider, open_instant
from mock_provider import conformance as mock_conformance
from sepa_provider import conformance as sepa_conformance
from stripe_provider.companion import conformance as stripe_conformance
from tempo_provider.companion.scripted import conformance as tempo_conformance

from payd.plugins.testing import conformance

#: The skeleton with other events, for planted mistakes that the skeleton cannot make.
INSTANT = manifest_of(InstantProvider, name="instant")

test_mock = conformance(mock_provider.MANIFEST, mock_conformance.open_remote)
test_stripe = conformance(stripe_provider.MANIFEST, stripe_conformance.open_remote)
test_tempo = conformance(tempo_provider.MANIFEST, tempo_conformance.open_remote)
test_tempo_with_addresses = conformance(
    tempo_provider.MANIFEST, tempo_conformance.open_remote_with_addresses
)
test_sepa = conformance(sepa_provider.MANIFEST, sepa_conformance.open_remote)
test_the_skeleton = conformance(acme_provider.MANIFEST, acme_conformance.open_remote)
test_instant_transfers = conformance(INSTANT, open_instant)
