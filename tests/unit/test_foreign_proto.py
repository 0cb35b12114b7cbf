"""Generated code of a main app's own payment.proto, imported beside the client's."""

import subprocess
import sys
from pathlib import Path

import pytest
from payd_client.proto import payment_pb2

FOREIGN = """
syntax = "proto3";
package shop;
message Payment { string note = 1; }
"""
OURS = "from payd_client.proto import payment_pb2 as ours"
THEIRS = "import payment_pb2 as theirs"
USE = """
assert theirs.Payment.FromString(theirs.Payment(note="x").SerializeToString()).note == "x"
assert ours.Payment.FromString(ours.Payment(method="x").SerializeToString()).method == "x"
"""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the generated code of another payment.proto."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "payment.proto").write_text(FOREIGN)
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", "--python_out=."]
    subprocess.run([*command, "payment.proto"], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize("order", [(OURS, THEIRS), (THEIRS, OURS)], ids=["ours first", "theirs"])
def test_another_payment_proto_lives_in_the_same_process(
    foreign: Path, order: tuple[str, str]
) -> None:
    """protobuf has one registry for a process, and refuses two files of one name in it."""
    code = "\n".join((*order, USE))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=foreign, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_our_file_has_a_name_of_its_own() -> None:
    assert payment_pb2.DESCRIPTOR.name == "payd/v1/payment.proto"
