"""`payd tempo status`: what a person sees of the chain, the endpoints and the tokens."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import trio
from click.testing import CliRunner
from integration.tempo.watching import PAYER, US, USDC, USDT, ChainClock, a_chain, settings
from tempo_provider.companion.scripted import lies
from tempo_provider.companion.scripted.chain import ScriptedChain
from tempo_provider.companion.scripted.node import (
    Limit,
    Says,
    ScriptedNode,
    open_node,
    open_nodes,
)
from tempo_provider.status import read_status
from tempo_provider.status_command import is_well, lines_of, status

from payd.plugins import CommandContext

FIGURES = {
    "payd_tempo_cursor_block": 3.0,
    "payd_tempo_cursor_lag_blocks": 0.0,
    "payd_tempo_poll_interval_seconds": 3.75,
    "payd_unmatched_receipts": 2.0,
}


@pytest.fixture
def chain() -> ScriptedChain:
    return a_chain()


async def seen(
    nodes: Sequence[ScriptedNode], figures: Mapping[str, float] = FIGURES, **more: Any
) -> Mapping[str, Any]:
    clock = ChainClock(nodes[0].view.chain)
    return await read_status(settings(nodes, **more), figures, clock)


def states(document: Mapping[str, Any], part: str) -> list[str]:
    return [one["state"] for one in document[part]]


async def test_a_chain_that_is_well(chain: ScriptedChain) -> None:
    async with open_nodes(chain, 3) as nodes:
        document = await seen(nodes)
    assert is_well(document)
    assert (document["chain_id"], document["fork"]) == (1337, "T12")
    assert document["fork_is_tested"] is True
    assert (document["head_block"], document["final_block"], document["quorum"]) == (3, 3, 2)
    assert document["final_age_s"] < 1
    assert states(document, "endpoints") == ["agrees"] * 3
    assert states(document, "tokens") == ["ok", "ok"]
    text = "\n".join(lines_of(document))
    for part in (
        "local, chain 1337",
        "block 3, 0 blocks behind",
        "every 3.75 s: a payment completes within about 9.5 s",
        "unmatched receipts  2",
        "no known limit",
        f"USDC  {USDC}  USD  policy 1  ok",
    ):
        assert part in text


async def test_a_block_of_the_future_is_ahead_and_not_of_a_negative_age(
    chain: ScriptedChain,
) -> None:
    async with open_node(chain) as node:
        document = await seen([node])
    text = "\n".join(lines_of({**document, "final_age_s": -1860.0}))
    assert "3, 1860 s ahead of this machine's clock" in text
    assert "3, 12.5 s old" in "\n".join(lines_of({**document, "final_age_s": 12.5}))


async def test_without_a_daemon_it_says_what_is_not_known(chain: ScriptedChain) -> None:
    async with open_node(chain) as node:
        text = "\n".join(lines_of(await seen([node], {})))
    assert "no daemon on this machine reads the chain" in text
    assert "unmatched receipts  unknown" in text


async def test_the_budget_of_an_endpoint_and_what_follows_for_a_payment(
    chain: ScriptedChain,
) -> None:
    async with open_node(chain) as node:
        node.limit = Limit(requests=20)
        document = await seen([node], {}, poll_interval_s=2.0)
    [endpoint] = document["endpoints"]
    assert endpoint["limit"] == 20
    assert 10 < endpoint["remaining"] < 20
    assert (document["poll_interval_s"], document["completes_within_s"]) == (3.75, 9.5)


async def test_an_endpoint_without_lists_of_requests_is_shown_as_such(
    chain: ScriptedChain,
) -> None:
    async with open_node(chain) as node:
        node.no_batches = Says(status=400)
        document = await seen([node])
    assert is_well(document)
    assert "no batches" in "\n".join(lines_of(document))


async def test_an_endpoint_on_another_branch_disagrees(chain: ScriptedChain) -> None:
    other = chain.fork()
    other.reorg(2)
    async with open_nodes(chain, 3) as nodes:
        nodes[1].follows(other)
        document = await seen(nodes)
    assert states(document, "endpoints") == ["agrees", "disagrees", "agrees"]
    assert not is_well(document)


async def test_of_two_branches_with_as_many_endpoints_none_is_right(chain: ScriptedChain) -> None:
    other = chain.fork()
    other.reorg(2)
    async with open_nodes(chain, 2) as nodes:
        nodes[1].follows(other)
        document = await seen(nodes)
    assert states(document, "endpoints") == ["disagrees", "disagrees"]


async def test_an_endpoint_that_is_behind_or_away_is_no_failure_while_others_agree(
    chain: ScriptedChain,
) -> None:
    async with open_nodes(chain, 4) as nodes:
        nodes[0].lags(2)
        nodes[1].behaves(Says(status=503))
        document = await seen(nodes)
    assert states(document, "endpoints") == ["behind", "failed", "agrees", "agrees"]
    assert document["endpoints"][1]["detail"].endswith("HTTP 503")
    assert is_well(document)


async def test_an_endpoint_of_another_chain_is_named(chain: ScriptedChain) -> None:
    async with open_nodes(chain, 3) as nodes:
        nodes[2].lies(lies.says("eth_chainId", "0x1079"))
        document = await seen(nodes)
    assert states(document, "endpoints")[2] == "of chain 4217"
    assert not is_well(document)


async def test_a_chain_that_nobody_reaches_is_shown_all_the_same(chain: ScriptedChain) -> None:
    async with open_node(chain) as node:
        node.behaves(Says(status=503))
        document = await seen([node])
    assert (document["final_block"], document["fork"]) == (None, "")
    assert states(document, "tokens") == ["unknown", "unknown"]
    assert not is_well(document)
    assert "fork                unknown" in "\n".join(lines_of(document))


def is_paused(chain: ScriptedChain) -> None:
    chain.tokens[USDT].is_paused = True


def forbids_us(chain: ScriptedChain) -> None:
    chain.tokens[USDT].policy_id = 7
    chain.may_receive = {(7, US): False}


def has_18_decimals(chain: ScriptedChain) -> None:
    chain.tokens[USDT].decimals = 18


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (is_paused, "is paused by its issuer"),
        (forbids_us, "its transfer policy 7"),
        (has_18_decimals, "has 18 decimals, not 6"),
    ],
)
async def test_a_token_that_cannot_be_used_says_why(
    chain: ScriptedChain, change: Any, why: str
) -> None:
    change(chain)
    async with open_node(chain) as node:
        document = await seen([node])
    assert states(document, "tokens") == ["ok", "unusable"]
    assert why in document["tokens"][1]["detail"]
    assert not is_well(document)


async def test_a_policy_that_names_others_does_not_concern_us(chain: ScriptedChain) -> None:
    chain.tokens[USDT].policy_id = 7
    chain.may_receive = {(7, PAYER): False}
    async with open_node(chain) as node:
        assert is_well(await seen([node]))


@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["--json"], 0)])
async def test_the_command_prints_it(chain: ScriptedChain, arguments: list[str], code: int) -> None:
    async with open_node(chain) as node:
        context = CommandContext(
            config=settings([node]),
            dev={},
            get_payment=lambda _: {},
            get_metrics=lambda: FIGURES,
        )
        run = lambda: CliRunner().invoke(status, arguments, obj=context)  # noqa: E731
        result = await trio.to_thread.run_sync(run)
    assert result.exit_code == code, result.output
    if arguments:
        assert json.loads(result.output)["chain_id"] == 1337
    else:
        assert "endpoints, of which 1 must agree" in result.output


async def test_the_command_fails_when_something_is_wrong(chain: ScriptedChain) -> None:
    is_paused(chain)
    async with open_node(chain) as node:
        context = CommandContext(config=settings([node]), dev={}, get_payment=lambda _: {})
        run = lambda: CliRunner().invoke(status, obj=context)  # noqa: E731
        result = await trio.to_thread.run_sync(run)
    assert result.exit_code == 1
    assert "is paused by its issuer" in result.output
