"""Generate the client's Python code from payment.proto.

    python proto/generate.py [FOLDER]

FOLDER is the package that gets the code; by default the client's. The messages are registered as
`payd/v1/payment.proto`, a name of our own: protobuf keeps one registry for a whole process, and a
main app may have a `payment.proto`, too. The code lies elsewhere than under `payd/v1`, so the
module's name in it is replaced.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
TARGET = HERE.parent / "client/payd_client/proto"
#: Name of the file in protobuf's registry, and where protoc finds it.
REGISTERED = "payd/v1/payment.proto"
GENERATED = ("payment_pb2.py", "payment_pb2.pyi", "payment_grpc.py")


def main() -> int:
    """Run protoc with the tools of the environment of this Python."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    with tempfile.TemporaryDirectory() as folder:
        _run_protoc(folder)
        for name in GENERATED:
            code = (Path(folder) / REGISTERED).with_name(name).read_text()
            (target / name).write_text(
                code.replace("payd.v1.payment_pb2", "payd_client.proto.payment_pb2")
            )
    return 0


def _run_protoc(folder: str) -> None:
    plugin = Path(sys.executable).parent / "protoc-gen-grpclib_python"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{Path(REGISTERED).parent}={HERE}"]
    command += [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpclib_python")]
    command += [f"--plugin=protoc-gen-grpclib_python={plugin}", REGISTERED]
    subprocess.run(command, check=True)  # noqa: S603 - our own command line


if __name__ == "__main__":
    sys.exit(main())
