"""Whatever a plugin does: payd serves the others, says which one it is, and what to do."""

import contextlib
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from payd_client.proto import payment_pb2 as pb
from support import plain_http
from support.daemon import Client, Daemon, Place, a_request, reason_of, rows, running_daemon
from support.waiting import wait_until

MODULE = Path(__file__).parents[2] / "fixtures/hostile_provider.py"
#: Of the hostile provider's calls.
TIMEOUT_S = 2.0

#: What keeps it from being loaded → what is said of it.
NOT_LOADED = {
    "import raises": "cannot be imported: RuntimeError: broken at import; fix or reinstall",
    "import exits": "cannot be imported: SystemExit: enough; fix or reinstall",
    "import misses": "No module named 'a_module_that_is_not_there'; fix or reinstall",
    "hook raises": "its payd_providers hook failed: RuntimeError: broken in the hook",
    "hook answers nonsense": "offers no provider of this name",
    "newer SDK": "needs plugin interface >=99, this payd has ",
    "claims another's": "offers the method 'mock', which mock has; disable one of them",
}
#: What keeps it from starting → what is said of it.
NOT_STARTED = {
    "factory raises": "RuntimeError: broken at the start",
    "factory hangs": "the factory did not answer within 10 s",
}
#: How it answers → what payd says of its last error.
MISBEHAVES = {
    "raises": "broken in create",
    "raises a group": "ExceptionGroup",
    "exits": "SystemExit",
    "hangs": "no answer within the deadline",
    "resists": "no answer within the deadline",
    "wrong types": "invalid answer of type",
}
#: The calls that payd makes of a provider by itself, when all of its methods misbehave.
CALLS = ("create", "close", "health", "scan", "objects", "holdings", "translate")
#: The calls about a refund of a payment that was paid.
REFUND_CALLS = ("refund", "fetch_refund")

Hostile = Callable[..., AbstractContextManager[Daemon]]
Hostiles = Callable[..., AbstractContextManager[Daemon]]


def name_of(mode: str) -> str:
    """The provider that behaves so, where several do."""
    return re.sub(r"\W+", "_", mode).lower()


@pytest.fixture
def hostiles(place: Place, tmp_path: Path) -> Hostiles:
    """Run a daemon with a hostile plugin for each name and mode, installed as by pip."""

    def run(
        modes: Mapping[str, str], place: Place = place, **environment: str
    ) -> AbstractContextManager[Daemon]:
        settings = {"PYTHONPATH": str(tmp_path / "site")}
        for name, mode in modes.items():
            install(tmp_path / "site", name)
            settings |= {f"{name.upper()}_ENABLED": "true", f"{name.upper()}_MODE": mode}
        return running_daemon(place, **settings, **environment)

    return run


def install(site: Path, name: str) -> None:
    info = site / f"payd_{name}_provider-6.6.6.dist-info"
    info.mkdir(parents=True)
    shutil.copy(MODULE, site / f"{name}_provider.py")
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: payd-{name}-provider\nVersion: 6.6.6\n"
    )
    (info / "entry_points.txt").write_text(f"[payd]\n{name} = {name}_provider\n")


@pytest.fixture
def hostile(hostiles: Hostiles) -> Hostile:
    """The same with one plugin."""
    return lambda mode, *place, **environment: hostiles({"hostile": mode}, *place, **environment)


def checks(daemon: Daemon) -> dict[str, Any]:
    """What /readyz says of each dependency."""
    found: dict[str, Any] = plain_http.get(f"http://{daemon.http}/readyz").json()["checks"]
    return found


def figure(daemon: Daemon, name: str) -> float:
    """Of the metrics port."""
    text = plain_http.get(f"http://{daemon.metrics}/metrics").text
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def wait_for_figure(daemon: Daemon, name: str, wanted: float) -> None:
    """Until the next sample says so."""
    wait_until(
        lambda: figure(daemon, name) == wanted,
        lambda: f"{name} is {figure(daemon, name)}, not {wanted}",
    )


def others_are_served(client: Client) -> None:
    """Make a payment from its start to its end; repeat a call that was UNAVAILABLE, as callers do.

    On a busy machine PostgreSQL's answer may come later than the daemon waits for it.
    """
    key = str(uuid.uuid4())

    def completed() -> bool:
        try:
            return bool(client.wait_for(client.initiate(key=key).id, "COMPLETED"))
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False

    wait_until(completed, "a payment of another provider completes")


def refused(client: Client, method: str) -> tuple[grpc.StatusCode, str]:
    """The refusal of a caller that wants to pay with it."""
    with pytest.raises(grpc.RpcError) as error:
        client.initiate(method=method)
    return error.value.code(), reason_of(error.value)


def test_each_that_cannot_be_loaded_is_named_and_the_others_are_served(hostiles: Hostiles) -> None:
    modes = {name_of(mode): mode for mode in NOT_LOADED}
    with hostiles(modes) as daemon, daemon.client() as client:
        others_are_served(client)
        checked = checks(daemon)
        assert checked["provider:mock"]["ok"]
        wait_for_figure(daemon, 'payd_provider_up{provider="mock"}', 1.0)
        for name, mode in modes.items():
            assert refused(client, name) == (grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_METHOD")
            check = checked[f"provider:{name}"]
            assert not check["ok"]
            assert check["detail"].startswith(f"provider {name}: ")
            assert NOT_LOADED[mode] in check["detail"]
            wait_for_figure(daemon, f'payd_dependency_up{{dependency="provider:{name}"}}', 0.0)
            metrics = plain_http.get(f"http://{daemon.metrics}/metrics").text
            assert f'payd_provider_up{{provider="{name}"}} 0.0' in metrics
            [line] = [
                one
                for one in daemon.lines
                if one.get("event") == "provider_not_loaded" and one["provider"] == name
            ]
            assert line["level"] == "error"
            assert NOT_LOADED[mode] in f"{line['reason']}; {line['what_to_do']}"
        assert daemon.stop() == 0


@pytest.mark.parametrize("failure_mode", ["degraded", "strict"])
def test_each_that_cannot_start_is_tried_again_and_the_others_are_served(
    hostiles: Hostiles, failure_mode: str
) -> None:
    modes = {name_of(mode): mode for mode in NOT_STARTED}
    with (
        hostiles(modes, PAYD_PROVIDERS_FAILURE_MODE=failure_mode) as daemon,
        daemon.client() as client,
    ):
        others_are_served(client)
        for name, mode in modes.items():
            code, reason = refused(client, name)
            assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "PROVIDER_UNAVAILABLE")
            check = checks(daemon)[f"provider:{name}"]
            assert not check["ok"]
            assert "not running: payd builds it again" in check["detail"]
            assert NOT_STARTED[mode] in check["detail"]
            wait_for_figure(daemon, f'payd_provider_up{{provider="{name}"}}', 0.0)
        assert daemon.stop() == 0


@pytest.mark.parametrize("mode", ["import raises", "newer SDK", "claims another's"])
def test_strict_does_not_start_with_it_and_says_why(hostile: Hostile, mode: str) -> None:
    """systemd does not start a daemon again that ended with 78."""
    with (
        pytest.raises(AssertionError) as ended,
        hostile(mode, PAYD_PROVIDERS_FAILURE_MODE="strict") as daemon,
    ):
        pytest.fail(f"it runs: {daemon.lines}")
    assert NOT_LOADED[mode] in str(ended.value)
    assert "ended with 78:" in str(ended.value)


def test_each_that_misbehaves_is_named_and_the_others_are_served(hostiles: Hostiles) -> None:
    modes = {name_of(mode): mode for mode in MISBEHAVES}
    with hostiles(modes) as daemon, daemon.client() as client:
        began = time.monotonic()
        calls = [client.future("InitiatePayment", a_request(method=name)) for name in modes]
        # Nobody knows what they did: payd says so, and looks again.
        assert all(call.result().payment.id for call in calls)
        assert time.monotonic() - began < 10 * TIMEOUT_S
        others_are_served(client)
        checked = checks(daemon)
        for name, mode in modes.items():
            line = next(
                one
                for one in daemon.lines
                if one.get("event") == "provider_call_failed" and one["provider"] == name
            )
            assert MISBEHAVES[mode] in str(line["error"])
            assert name in checked[f"provider:{name}"]["detail"]
            assert "last error" in checked[f"provider:{name}"]["detail"]
        assert daemon.stop() == 0


def test_whatever_their_methods_do_the_others_are_served(hostiles: Hostiles) -> None:
    often = {
        "PAYD_RECOVERY_SCAN_INTERVAL_S": "0.2",
        "PAYD_RECOVERY_RECONCILE_INTERVAL_S": "0.2",
        "PAYD_RECOVERY_INTERVAL_S": "0.2",
    }
    ways = ("raises", "raises a group", "exits", "hangs", "wrong types")
    modes = {name_of(how): f"{how} everywhere" for how in ways}
    with hostiles(modes, **often) as daemon, daemon.client() as client:
        for name in modes:
            call_every_method(daemon, client, name, at_once=name != "hangs")
        for name in modes:
            # A method that never returns and never awaits blocks the loop: it has a separate test.
            for call in CALLS[: -1 if name == "hangs" else None]:
                wait_for(daemon, partial(failed, daemon, name, call), f"no {call} of {name} failed")
            if name == "hangs":
                continue
            wait_for(daemon, partial(restarted, daemon, name), f"no watch of {name} restarted")
            refund_what_was_paid(daemon, client, name)
        others_are_served(client)
        assert daemon.stop() == 0


def call_every_method(daemon: Daemon, client: Client, name: str, *, at_once: bool) -> None:
    """What callers and webhooks can do; payd makes the other calls by itself."""
    open_one = client.initiate(method=name, metadata={"create_well": "yes"})
    assert client.initiate(method=name).id
    with contextlib.suppress(grpc.RpcError):
        client.call("CancelPayment", pb.CancelPaymentRequest(payment_id=open_one.id))
    if at_once:
        with pytest.raises(grpc.RpcError) as error:
            client.initiate(method=name, metadata={"break_prepare": "yes"})
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    webhooks = f"http://{daemon.http}/webhooks/{name}"
    assert plain_http.post(webhooks, content=b"rubbish").status_code == 400
    assert plain_http.post(webhooks, content=b"authentic").status_code < 300


def refund_what_was_paid(daemon: Daemon, client: Client, name: str) -> None:
    """Nobody knows what became of the refund: it keeps its amount, and payd looks for it."""
    well = {"create_well": "yes", "pay": "yes"}
    paid = asked_again(lambda: client.initiate(method=name, key=f"pay-{name}", metadata=well))
    client.wait_for(paid.id, "COMPLETED")
    request = pb.RefundPaymentRequest(payment_id=paid.id, idempotency_key=f"refund-{name}")
    refund = asked_again(lambda: client.call("RefundPayment", request).refund)
    assert refund.status == pb.REFUND_STATUS_CREATING
    rows(daemon.place, "UPDATE refunds SET next_look_time = now() WHERE id = $1", refund.id)
    for call in REFUND_CALLS:
        wait_for(daemon, partial(failed, daemon, name, call), f"no {call} of {name} failed")


def asked_again(call: Callable[[], Any]) -> Any:
    """The answer; while the provider starts again nothing is sent, and a key may be repeated."""

    def ask() -> Any:
        with contextlib.suppress(grpc.RpcError):
            return call()
        return None

    return wait_until(ask, "the provider takes no call")


def failed(daemon: Daemon, name: str, operation: str) -> bool:
    """Whether the log names the plugin and the method that broke."""
    return any(
        (line.get("provider"), line.get("operation")) == (name, operation)
        for line in daemon.lines
        if line.get("event") == "provider_call_failed"
    )


def restarted(daemon: Daemon, name: str) -> bool:
    """Whether the watch broke and was started again."""
    return failed(daemon, name, "watch") or any(
        line.get("provider") == name
        for line in daemon.lines
        if line.get("event") == "provider_watch_restarted"
    )


def wait_for(daemon: Daemon, happened: Callable[[], bool], otherwise: str) -> None:
    """Until it has."""
    wait_until(happened, lambda: f"{otherwise}: {daemon.lines[-20:]}")


@pytest.mark.parametrize(
    "held_s",
    [2.0, pytest.param(10.0, marks=pytest.mark.campaign)],
)
def test_one_that_holds_the_loop_is_named_when_it_lets_go(hostile: Hostile, held_s: float) -> None:
    with (
        hostile("holds the loop", HOSTILE_HELD_S=str(held_s)) as daemon,
        daemon.client() as client,
    ):
        held = client.future("InitiatePayment", a_request(method="hostile"))
        time.sleep(0.2)
        others_are_served(client)
        held.result()
        line = next(one for one in daemon.lines if one.get("event") == "provider_held_loop")
        assert (line["provider"], line["level"]) == ("hostile", "error")
        assert held_s <= line["seconds"] < held_s + 2
        assert "blocked the event loop for" in checks(daemon)["provider:hostile"]["detail"]
        counted = 'operation="loop",outcome="held",provider="hostile"'
        assert figure(daemon, f"payd_provider_calls_total{{{counted}}}") == 1
        others_are_served(client)
        assert daemon.stop() == 0


@pytest.mark.parametrize("how", ["never ends", "its watch never ends"])
def test_one_that_would_keep_the_daemon_for_ever_is_named_and_left(
    hostile: Hostile, how: str
) -> None:
    with hostile(how, PAYD_GRPC_DRAIN_TIMEOUT_S="0") as daemon, daemon.client() as client:
        client.initiate(method="hostile")
        others_are_served(client)
        assert daemon.stop() == 1
        line = next(one for one in daemon.lines if one.get("event") == "daemon_did_not_end")
        assert line["providers"] == ["hostile"]
        assert "disable" in line["what_to_do"]


def test_one_that_leaks_tasks_does_not_keep_the_daemon(hostile: Hostile) -> None:
    with hostile("leaks") as daemon, daemon.client() as client:
        for _ in range(3):
            client.initiate(method="hostile")
        others_are_served(client)
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 60


def test_one_that_floods_is_bounded_and_the_others_are_served(
    hostile: Hostile, place: Place
) -> None:
    with hostile("floods", place.without_forks()) as daemon, daemon.client() as client:
        process = psutil.Process(daemon.process.pid)
        others_are_served(client)
        before = process.memory_info().rss
        until = time.monotonic() + 4
        while time.monotonic() < until:
            began = time.monotonic()
            others_are_served(client)
            assert time.monotonic() - began < 20
        assert process.memory_info().rss - before < 200 * 2**20
        assert daemon.stop() == 0


@pytest.fixture(autouse=True)
def _no_rest_of_it() -> Iterator[None]:
    """The tests' own process never imports it."""
    yield
    import sys

    assert "hostile_provider" not in sys.modules
