"""Stripe's part, fresh for each test; and a shop that a module's tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.stripe.shop import Shop, open_shop
from support.cards import StandIn, stand_in
from support.daemon import Place


@pytest.fixture
def stripe(tmp_path: Path) -> Iterator[StandIn]:
    with stand_in(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def shop(
    request: pytest.FixtureRequest,
    module_place: Place,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shop]:
    """With the module's own SHOP settings, where it has any."""
    settings = getattr(request.module, "SHOP", {})
    with open_shop(module_place, tmp_path_factory.mktemp("stripe"), **settings) as opened:
        yield opened


@pytest.fixture
def all_is_well_again(shop: Shop) -> Iterator[None]:
    """Afterwards webhooks are delivered, and nothing goes wrong at Stripe."""
    yield
    shop.stripe.webhooks(mode="deliver")
    shop.stripe.http.delete("/_control/faults")
