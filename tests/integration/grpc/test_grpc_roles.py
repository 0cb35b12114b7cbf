"""Roles: what apps may call, what operators, and what certificates that are on neither list."""

from types import SimpleNamespace
from typing import Any

import pytest
from grpclib.const import Status
from integration.grpc.server import RunningServer
from payd_client.proto import payment_pb2 as pb
from unit.cli.scripted_daemon import PAYMENT_ID

from payd.domain.errors import ClientNotAllowed
from payd.transport.grpc.callers import Clients
from payd.transport.grpc.handlers import Handlers
from payd.transport.grpc.roles import ACCESS, Role

CANCEL = pb.CancelPaymentRequest(payment_id=PAYMENT_ID)
CLIENTS = Clients(apps=frozenset({"main-app", "both"}), operators=frozenset({"alice", "both"}))


@pytest.mark.parametrize("name", ["alice", "both"])
@pytest.mark.parametrize("operators_only", [True, False])
def test_an_operator_may_call_everything(name: str, *, operators_only: bool) -> None:
    CLIENTS.admit(name, operators_only=operators_only)


def test_an_app_may_call_what_is_not_for_operators() -> None:
    CLIENTS.admit("main-app", operators_only=False)
    with pytest.raises(ClientNotAllowed, match="GRPC_OPERATOR_CNS") as refused:
        CLIENTS.admit("main-app", operators_only=True)
    assert refused.value.metadata == {"common_name": "main-app"}


@pytest.mark.parametrize("name", ["stranger", "", "Alice", "MAIN-APP", "alice "])
@pytest.mark.parametrize("operators_only", [True, False])
def test_nobody_else_may_call_anything(name: str, *, operators_only: bool) -> None:
    with pytest.raises(ClientNotAllowed, match="allow-list"):
        CLIENTS.admit(name, operators_only=operators_only)


def test_the_table_has_every_method_of_the_service() -> None:
    """A method without a line in the table could not be served: nobody would have decided on it."""
    [service] = pb.DESCRIPTOR.services_by_name.values()
    behind: Any = SimpleNamespace(operators=None, message=None)
    served = {path.rpartition("/")[2] for path in Handlers(behind).methods()}
    assert {method.name for method in service.methods} == ACCESS.keys()
    assert served == ACCESS.keys() - {"WatchPayment"}


def test_what_decides_for_a_person_or_shows_all_of_payd_is_for_operators() -> None:
    for_operators = {name for name, one in ACCESS.items() if one.role is Role.OPERATOR}
    assert for_operators == {
        *("ListAttention", "ResolveAttention"),
        *("ApproveRefund", "CancelRefund", "SettleRefund"),
        *("ListReceipts", "AttachReceipt", "ListReconciliations"),
        *("RepublishEvents", "ListDeadLetters", "ReplayDeadLetters"),
        *("GetOverview", "GetConfiguration", "GetStoredRows"),
        *("ExportPayments", "ForgetCustomer"),
    }


@pytest.mark.parametrize("method", ACCESS)
@pytest.mark.parametrize("name", ["client", "stranger"])
async def test_each_method_refuses_the_certificates_that_its_role_does_not_name(
    running: RunningServer, method: str, name: str
) -> None:
    """An empty request is admitted first, and checked afterwards."""
    request = getattr(pb, f"{method}Request")()
    async with running.caller(name) as caller:
        reply = await caller.call(method, request)
    is_refused = (reply.grpc_status, reply.reason) == (
        Status.PERMISSION_DENIED,
        "CLIENT_NOT_ALLOWED",
    )
    assert is_refused == (name == "stranger" or ACCESS[method].role is Role.OPERATOR)
    assert not running.use_cases.begun.is_set()


@pytest.mark.parametrize("method", ACCESS)
async def test_an_operator_is_refused_nowhere(running: RunningServer, method: str) -> None:
    async with running.caller("operator") as operator:
        reply = await operator.call(method, getattr(pb, f"{method}Request")())
    assert reply.grpc_status is not Status.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("claimed", "recorded"),
    [
        ("ada", "operator:operator/ada"),
        ("", "operator:operator"),
        ("  ", "operator:operator"),
        ("a\x07b", "operator:operator"),
        ("x" * 129, "operator:operator"),
        ("user:42", "operator:operator/user:42"),
    ],
)
async def test_an_operator_is_recorded_with_the_name_that_the_certificate_proves(
    running: RunningServer, claimed: str, recorded: str
) -> None:
    async with running.caller("operator") as operator:
        await operator.call("CancelPayment", CANCEL, ("x-actor", claimed))
    [origin] = running.use_cases.origins
    assert (origin.actor, origin.certificate) == (recorded, "operator")


@pytest.mark.parametrize("claimed", ["recovery", "operator:operator/ada", "operator"])
async def test_an_operator_cannot_claim_a_name_of_payds_own_either(
    running: RunningServer, claimed: str
) -> None:
    async with running.caller("operator") as operator:
        reply = await operator.call("CancelPayment", CANCEL, ("x-actor", claimed))
    assert (reply.reason, reply.field) == ("INVALID_FIELD", "x-actor")
    assert running.use_cases.origins == []
