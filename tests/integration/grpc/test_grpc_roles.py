"""Roles: what apps may call, what operators, and what certificates that are on neither list."""

from typing import Any

import pytest
from google.protobuf.message import Message
from grpclib.const import Status
from integration.grpc.server import RunningServer
from payd_client.proto import payment_pb2 as pb
from unit.cli.scripted_daemon import PAYMENT_ID, REFUND_ID

from payd.domain.errors import ClientNotAllowed
from payd.transport.grpc.callers import Clients
from payd.transport.grpc.handlers import Handlers

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


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("CancelRefund", pb.CancelRefundRequest(refund_id=REFUND_ID, note="n")),
        ("ApproveRefund", pb.ApproveRefundRequest(refund_id=REFUND_ID)),
        (
            "SettleRefund",
            pb.SettleRefundRequest(refund_id=REFUND_ID, outcome=pb.REFUND_STATUS_FAILED, note="n"),
        ),
        ("ResolveAttention", pb.ResolveAttentionRequest(payment_id=PAYMENT_ID, note="n")),
        ("ForgetCustomer", pb.ForgetCustomerRequest(customer_id="user-1")),
    ],
)
@pytest.mark.parametrize("name", ["client", "stranger"])
async def test_what_an_operator_answers_for_is_for_no_other_certificate(
    running: RunningServer, method: str, request_: Message, name: str
) -> None:
    async with running.caller(name) as caller:
        reply = await caller.call(method, request_)
    assert (reply.grpc_status, reply.reason) == (Status.PERMISSION_DENIED, "CLIENT_NOT_ALLOWED")
    assert not running.use_cases.begun.is_set()


def test_only_these_methods_are_for_operators() -> None:
    services: Any = None
    methods = Handlers(services).methods()
    for_operators = {
        name.rpartition("/")[2]: one.is_write
        for name, one in methods.items()
        if one.is_for_operators
    }
    assert for_operators == {
        "ApproveRefund": True,
        "CancelRefund": True,
        "ExportPayments": False,
        "ListAttention": False,
        "ResolveAttention": True,
        "ForgetCustomer": True,
        "SettleRefund": True,
    }


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
