"""What an operator may set: each setting's good and bad values, and what follows from them."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from pytempo.contracts import addresses
from tempo_provider import MANIFEST
from tempo_provider.config import NO_ETH, TempoConfig, methods_of
from tempo_provider.networks import PATH_USD

RECEIVER = "0x" + "7ea5" * 10
ONE, TWO, THREE = "https://one.example", "https://two.example/rpc?key=1", "http://127.0.0.1:8545"
ALPHA, BETA, THETA = (f"0x20c000000000000000000000000000000000000{n}" for n in (1, 2, 3))
USDC_E = "0x20c000000000000000000000b9537d11c60e8b50"
USDT0 = "0x20c00000000000000000000014f22ca97301eb73"
OUSD = "0x20c0000000000000000000006a37da5c996874be"
EURC_E = "0x20c0000000000000000000001621e21f71cf12fb"
TESTNET_USDC_E = "0x20c0000000000000000000009e8d7eb59b783726"
HASH = "0x" + "5e" * 32


def config(**settings: Any) -> TempoConfig:
    """Of the mainnet, with one endpoint."""
    usual = {"receiver_address": RECEIVER, "rpc_url": ONE, "chain_id": 4217}
    return TempoConfig.model_validate(usual | settings)


def refusal(**settings: Any) -> str:
    """What is said of settings that are wrong."""
    with pytest.raises(ValidationError) as refused:
        config(**settings)
    return str(refused.value)


# -- networks ----------------------------------------------------------------------------------


def on(network: str, **settings: Any) -> TempoConfig:
    """Settings that name a network."""
    usual = {"receiver_address": RECEIVER, "network": network}
    return TempoConfig.model_validate(usual | settings)


@pytest.mark.parametrize(
    ("network", "chain_id", "endpoint", "explorer"),
    [
        ("mainnet", 4217, "https://rpc.tempo.xyz", "https://explore.tempo.xyz"),
        (
            "testnet",
            42431,
            "https://rpc.moderato.tempo.xyz",
            "https://explore.testnet.tempo.xyz",
        ),
        ("local", 1337, "http://127.0.0.1:8545", None),
    ],
)
def test_two_settings_are_enough_for_a_network(
    network: str, chain_id: int, endpoint: str, explorer: str | None
) -> None:
    preset = on(network)
    assert (preset.chain_id, preset.rpc_url, preset.quorum) == (chain_id, (endpoint,), 1)
    assert preset.explorer_url == explorer


def test_a_network_brings_its_tokens() -> None:
    assert on("mainnet").offered == {"USDC": USDC_E, "USDT": USDT0}
    assert on("mainnet").watched == {USDC_E, USDT0, PATH_USD, OUSD, EURC_E}
    assert on("testnet").offered == {"USDC": ALPHA, "USDT": BETA}
    assert on("testnet").watched == {ALPHA, BETA, THETA, PATH_USD, OUSD, TESTNET_USDC_E}
    assert on("local").watched == {ALPHA, BETA, THETA, PATH_USD}


def test_every_value_of_a_network_can_be_replaced() -> None:
    chosen = on(
        "mainnet",
        chain_id=7,
        rpc_url=[ONE, TWO],
        explorer_url=THREE,
        tokens={"USDC": ALPHA},
        watched_tokens=[],
    )
    assert (chosen.chain_id, chosen.rpc_url) == (7, (ONE, TWO))
    assert chosen.transaction_url(HASH) == f"{THREE}/tx/{HASH}"
    assert chosen.watched == {ALPHA}


@pytest.mark.parametrize("chain_id", [42431, "42431"])
def test_the_name_of_one_network_with_the_chain_of_another_is_refused(chain_id: object) -> None:
    message = refusal(network="mainnet", chain_id=chain_id)
    assert "`network` is mainnet, and `chain_id` 42431 is testnet" in message


def test_an_unknown_network_is_refused() -> None:
    assert "network" in refusal(network="andantino")


def test_a_chain_id_alone_brings_the_explorer_of_mainnet_and_no_endpoint() -> None:
    assert config().transaction_url(HASH) == f"https://explore.tempo.xyz/tx/{HASH}"
    assert config(chain_id=42431).transaction_url(HASH) == ""
    assert "rpc_url" in refusal(rpc_url=None)


@pytest.mark.parametrize("url", ["https://fees.example/v1", "http://127.0.0.1:3000"])
def test_customers_wallets_get_the_address_of_the_fee_payer(url: str) -> None:
    [method] = methods_of(config(fee_payer_url=url))
    assert {one.fee_payer_url for one in method.crypto_currencies} == {url}
    assert {one.wallet_method for one in method.crypto_currencies} == {"wallet_transfer"}


def test_a_sponsor_that_payd_calls_is_named_to_no_customer() -> None:
    [method] = methods_of(config(fee_sponsor_url="https://sponsor.example/tp_key"))
    assert {(one.is_sponsored, one.fee_payer_url) for one in method.crypto_currencies} == {
        (True, "")
    }
    [without] = methods_of(config())
    assert not any(one.is_sponsored for one in without.crypto_currencies)


def test_a_fee_has_one_payer() -> None:
    both = {"fee_payer_url": "https://fees.example", "fee_sponsor_url": "https://fees.example"}
    assert "one of them pays the fee" in refusal(**both)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://fees.example", "use https"),
        ("https://key:secret@fees.example", "leave out the password"),
        ("fees.example", "fee_payer_url"),
    ],
)
def test_a_fee_payer_that_no_wallet_should_call_is_refused(url: str, why: str) -> None:
    assert why in refusal(fee_payer_url=url)


# -- tokens ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chain_id", "tokens", "also_watched"),
    [
        (4217, {"USDC": USDC_E, "USDT": USDT0}, {PATH_USD, OUSD, EURC_E}),
        (42431, {"USDC": ALPHA, "USDT": BETA}, {PATH_USD, THETA}),
        (1337, {"USDC": ALPHA, "USDT": BETA}, {PATH_USD, THETA}),
        (31318, {"USDC": ALPHA, "USDT": BETA}, {PATH_USD, THETA}),
    ],
)
def test_a_known_chain_brings_its_tokens(
    chain_id: int, tokens: dict[str, str], also_watched: set[str]
) -> None:
    known = config(chain_id=chain_id)
    assert known.tokens == tokens
    assert known.watched == set(tokens.values()) | also_watched


def test_tokens_of_the_operators_choice_replace_those() -> None:
    chosen = config(tokens={"USDC": ALPHA}, watched_tokens=[BETA])
    assert chosen.tokens == {"USDC": ALPHA}
    assert chosen.watched == {ALPHA, BETA}


def test_the_environment_writes_lists_with_commas() -> None:
    typed = config(
        rpc_url=f"{ONE}, {TWO} ,{THREE}",
        tokens=f"USDC={ALPHA}, USDT={BETA}",
        watched_tokens=f"{THETA},{PATH_USD}",
        chain_id="4217",
        rpc_quorum="3",
    )
    assert typed.rpc_url == (ONE, TWO, THREE)
    assert typed.tokens == {"USDC": ALPHA, "USDT": BETA}
    assert typed.watched == {ALPHA, BETA, THETA, PATH_USD}
    assert (typed.chain_id, typed.quorum) == (4217, 3)


def test_an_unknown_chain_needs_its_tokens_named() -> None:
    assert "payd knows no tokens of chain 7: set `tokens`" in refusal(chain_id=7)
    assert config(chain_id=7, tokens={"USDC": ALPHA}).watched == {ALPHA}


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ({"ETH": ALPHA}, NO_ETH),
        ({"USDC": ALPHA, "USDT": ALPHA}, "two codes in `tokens` have the same address"),
        ({"USDC": ALPHA, "USDT": ALPHA.upper().replace("X", "x")}, "have the same address"),
        ({"USDC": "0x" + "ab" * 20}, "not a TIP-20 token"),
        ({"USDC": ALPHA[:-1]}, "tokens.USDC"),
        ({"USDC": "USDC"}, "tokens.USDC"),
        ({"usdc": ALPHA}, "tokens.usdc"),
        ({"": ALPHA}, "tokens."),
        ("USDC", "tokens.USDC"),
        ({}, "payd knows no tokens of"),
        ({"EURC": ALPHA}, "in `tokens` and in `eur_tokens`"),
        ({"USDC": EURC_E}, "have the same address"),
    ],
)
def test_tokens_that_cannot_be_meant_are_refused(tokens: Any, message: str) -> None:
    assert message in refusal(tokens=tokens, eur_tokens={"EURC": EURC_E} if tokens else {})


def test_a_watched_address_must_be_a_token() -> None:
    assert "not a TIP-20 token" in refusal(watched_tokens=RECEIVER)


# -- the receiver ------------------------------------------------------------------------------


def test_the_receiver_is_an_address_however_its_letters_are_written() -> None:
    assert config(receiver_address=f" {RECEIVER.upper().replace('X', 'x')} ").receiver_address == (
        RECEIVER
    )


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("0x" + "0" * 40, "set an account that you control"),
        (ALPHA, "set an account that you control"),
        (ALPHA.upper().replace("X", "x"), "set an account that you control"),
        (RECEIVER[:-1], "receiver_address"),
        (RECEIVER[2:], "receiver_address"),
        (RECEIVER + "00", "receiver_address"),
        ("payd.eth", "receiver_address"),
        ("", "receiver_address"),
    ],
)
def test_money_is_not_sent_where_it_cannot_be_received(address: str, message: str) -> None:
    assert message in refusal(receiver_address=address)


@pytest.mark.parametrize("name", [one for one in dir(addresses) if one.endswith("_ADDRESS")])
def test_no_address_of_the_chains_own_is_an_account_of_ours(name: str) -> None:
    """As Tempo's SDK lists them."""
    assert "receiver_address" in refusal(receiver_address=getattr(addresses, name))


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("0xB10C000000000000000000000000000000000000", "the guard of receive policies"),
        ("0xfeec000000000000000000000000000000000000", "the FeeManager"),
        ("0x5AD0000000000000000000000000000000000001", "a zone's portal"),
        ("0x5ad000000000000000000000ffffffffffffffff", "a zone's portal"),
        ("0x5AD1000000000000000000000000000000000000", "the zone portals' code"),
        (USDC_E, "a TIP-20 token"),
        ("0x20c0000000000000000000006a37da5c996874be", "a TIP-20 token"),
        ("0x20Fc000000000000000000000000000000000000", "the token factory"),
        ("0x4D50500000000000000000000000000000000000", "the channel reserve"),
        ("0xcA11bde05977b3631167028862bE2a173976CA11", "Multicall3"),
        ("0x000000000000000000000000000000000000dEaD", "no key for it can exist"),
        ("0x0000000000000000000000000000000000000100", "no key for it can exist"),
        ("0x1234560000000000000000000000000000000007", "no key for it can exist"),
    ],
)
def test_a_receiver_that_cannot_be_right_is_refused_by_what_it_is(address: str, what: str) -> None:
    message = refusal(receiver_address=address)
    assert what in message
    assert "set an account that you control" in message


def test_a_virtual_address_is_refused_for_the_account_behind_it() -> None:
    message = refusal(receiver_address="0x58e21090FDFDFDFDFDFDFDFDFDFD010203040506")
    assert "name the account to which it forwards" in message
    assert "TEMPO_MASTER_ID" in message


@pytest.mark.parametrize(
    "address",
    [
        "0x00000000000000001234567890abcdef12345678",
        "0x5ad1" + "12" * 18,
    ],
)
def test_an_unusual_account_is_still_an_account(address: str) -> None:
    assert config(receiver_address=address).receiver_address == address


# -- endpoints ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("urls", "asked_for", "quorum"),
    [
        ([ONE], None, 1),
        ([ONE, TWO], None, 2),
        ([ONE, TWO, THREE], None, 2),
        ([ONE, TWO, THREE], 1, 1),
        ([ONE, TWO, THREE], 3, 3),
    ],
)
def test_two_endpoints_must_agree_where_there_are_two(
    urls: list[str], asked_for: int | None, quorum: int
) -> None:
    assert config(rpc_url=urls, rpc_quorum=asked_for).quorum == quorum


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rpc_url": ""}, "rpc_url"),
        ({"rpc_url": []}, "rpc_url"),
        ({"rpc_url": "wss://one.example"}, "rpc_url"),
        ({"rpc_url": "one.example"}, "rpc_url"),
        ({"rpc_url": [ONE, ONE]}, "names an endpoint twice"),
        ({"rpc_url": [ONE], "rpc_quorum": 2}, "exceeds the number of endpoints"),
        ({"rpc_url": [ONE], "rpc_quorum": 0}, "rpc_quorum"),
    ],
)
def test_endpoints_that_prove_nothing_are_refused(settings: dict[str, Any], message: str) -> None:
    assert message in refusal(**settings)


@pytest.mark.parametrize("port", ["99999", "0", "http", "-1"])
@pytest.mark.parametrize(
    "setting", ["rpc_url", "ws_url", "explorer_url", "fee_payer_url", "fee_sponsor_url"]
)
def test_a_port_that_nothing_can_connect_to_is_refused(setting: str, port: str) -> None:
    scheme = "wss" if setting == "ws_url" else "https"
    message = refusal(**{setting: f"{scheme}://one.example:{port}/"})
    assert setting in message
    assert "ort" in message


# -- numbers and words -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "least", "most"),
    [
        ("chain_id", 1, 2**63 - 1),
        ("payment_ttl_minutes", 5, 1440),
        ("range_blocks_max", 1, 100_000),
        ("overlap_blocks", 0, 10_000),
        ("rescan_blocks", 0, 10_000_000),
    ],
)
def test_a_number_has_bounds(setting: str, least: int, most: int) -> None:
    for good in (least, most):
        assert getattr(config(**{"tokens": {"USDC": ALPHA}, setting: good}), setting) == good
    for bad in (least - 1, most + 1, "many"):
        assert setting in refusal(**{"tokens": {"USDC": ALPHA}, setting: bad})


@pytest.mark.parametrize("setting", ["poll_interval_s", "request_timeout_s"])
@pytest.mark.parametrize("bad", [0, -1, 61, "nan", "soon"])
def test_a_time_is_neither_none_nor_endless(setting: str, bad: object) -> None:
    assert setting in refusal(**{setting: bad})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"late_payments": "refund"}, "late_payments"),
        ({"start_block": -1}, "start_block"),
        ({"receiver": RECEIVER}, "receiver"),
    ],
)
def test_what_is_not_known_is_refused(settings: dict[str, Any], message: str) -> None:
    assert message in refusal(**settings)


@pytest.mark.parametrize("missing", ["receiver_address", "rpc_url", "chain_id"])
def test_what_payd_cannot_guess_must_be_set(missing: str) -> None:
    assert missing in refusal(**{missing: None})


def test_settings_do_not_change_once_read() -> None:
    with pytest.raises(ValidationError):
        config().chain_id = 1


# -- what callers are offered ------------------------------------------------------------------


def test_one_method_is_offered_with_the_tokens_of_the_settings() -> None:
    [method] = methods_of(config(tokens={"USDC": ALPHA, "USDT": BETA}, payment_ttl_minutes=5))
    assert (method.key, method.currencies) == ("crypto", ("USD",))
    assert method.default_expiry == timedelta(minutes=5)
    offered = [(one.code, one.chain_id, one.token_address) for one in method.crypto_currencies]
    assert offered == [("USDC", 4217, ALPHA), ("USDT", 4217, BETA)]
    assert {one.decimals for one in method.crypto_currencies} == {6}
    assert method.refused_currencies == {"ETH": NO_ETH}


def test_euro_tokens_are_offered_for_prices_in_euros() -> None:
    chosen = config(eur_tokens=f"EURC={EURC_E}")
    [method] = methods_of(chosen)
    assert method.currencies == ("USD", "EUR")
    offered = {one.code: one.currency for one in method.crypto_currencies}
    assert offered == {"USDC": "USD", "USDT": "USD", "EURC": "EUR"}
    assert (chosen.code_of(EURC_E), chosen.currency_of(EURC_E)) == ("EURC", "EUR")


def test_a_shop_may_take_euros_alone() -> None:
    [method] = methods_of(config(tokens={}, eur_tokens={"EURC": EURC_E}))
    assert method.currencies == ("EUR",)
    assert [one.code for one in method.crypto_currencies] == ["EURC"]


@pytest.mark.parametrize(("setting", "complete"), [("complete", True), ("hold", False)])
def test_late_money_completes_unless_it_is_held(setting: str, complete: bool) -> None:
    [method] = methods_of(config(late_payments=setting))
    assert method.late_payments_complete is complete


def test_the_manifest_asks_for_the_key_of_the_memos_and_nothing_else() -> None:
    assert MANIFEST.credentials == ("tempo_memo_key",)
    assert MANIFEST.config_model is TempoConfig
