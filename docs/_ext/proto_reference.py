"""Sphinx extension: fills the page api/proto from the comments of payment.proto."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import (
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
PAGE = "api/proto"
PLACEHOLDER = "<!-- payment.proto -->"
#: Field numbers of the descriptor messages: a comment is found by the path of its element.
_MESSAGE, _ENUM, _SERVICE = 4, 5, 6
_FIELD, _VALUE, _METHOD = 2, 2, 2


def read_proto(proto: Path) -> FileDescriptorProto:
    """Compile the file and return its descriptor with comments."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "set"
        command = [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{proto.parent}"),
            *("--include_source_info", f"--descriptor_set_out={target}", proto.name),
        ]
        subprocess.run(command, check=True)
        return FileDescriptorSet.FromString(target.read_bytes()).file[-1]


def render(file: FileDescriptorProto) -> str:
    """Write the services, messages and enums as Markdown, in the file's order."""
    comments = {
        tuple(location.path): " ".join(location.leading_comments.split())
        for location in file.source_code_info.location
    }
    return "\n".join(
        [*_services(file, comments), *_messages(file, comments), *_enums(file, comments)]
    )


def _services(file: FileDescriptorProto, comments: dict[tuple[int, ...], str]) -> Iterator[str]:
    for number, service in enumerate(file.service):
        yield f"\n## {service.name}\n\n{comments.get((_SERVICE, number), '')}\n"
        yield from _table(
            ("method", "request", "response", "meaning"),
            [
                (
                    f"`{method.name}`",
                    _name(method.input_type),
                    _name(method.output_type),
                    comments.get((_SERVICE, number, _METHOD, index), ""),
                )
                for index, method in enumerate(service.method)
            ],
        )


def _messages(file: FileDescriptorProto, comments: dict[tuple[int, ...], str]) -> Iterator[str]:
    for number, message in enumerate(file.message_type):
        yield f"\n## {message.name}\n\n{comments.get((_MESSAGE, number), '')}\n"
        maps = {nested.name: nested for nested in message.nested_type if nested.options.map_entry}
        yield from _table(
            ("field", "type", "number", "meaning"),
            [
                (
                    f"`{field.name}`",
                    _type(field, maps),
                    str(field.number),
                    comments.get((_MESSAGE, number, _FIELD, index), ""),
                )
                for index, field in enumerate(message.field)
            ],
        )


def _enums(file: FileDescriptorProto, comments: dict[tuple[int, ...], str]) -> Iterator[str]:
    for number, enum in enumerate(file.enum_type):
        yield f"\n## {enum.name}\n\n{comments.get((_ENUM, number), '')}\n"
        yield from _table(
            ("value", "number", "meaning"),
            [
                (
                    f"`{value.name}`",
                    str(value.number),
                    comments.get((_ENUM, number, _VALUE, index), ""),
                )
                for index, value in enumerate(enum.value)
            ],
        )


def _type(field: FieldDescriptorProto, maps: dict[str, Any]) -> str:
    short = field.type_name.rpartition(".")[2]
    if short in maps:
        key, value = maps[short].field
        return f"map of {_type(key, {})} to {_type(value, {})}"
    name = _name(field.type_name) if field.type_name else _scalar(field)
    return f"repeated {name}" if field.label == field.LABEL_REPEATED else name


def _name(type_name: str) -> str:
    package, _, name = type_name.strip(".").rpartition(".")
    return f"[{name}](#{name.lower()})" if package.startswith("payd.") else f"`{package}.{name}`"


def _scalar(field: FieldDescriptorProto) -> str:
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _fill(app: Sphinx, page: str, source: list[str]) -> None:
    if page == PAGE:
        source[0] = source[0].replace(PLACEHOLDER, render(read_proto(ROOT / app.config.proto_file)))


def setup(app: Sphinx) -> dict[str, bool]:
    """Fill the page when it is read."""
    app.add_config_value("proto_file", "proto/payment.proto", "env")
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True}
