"""proto/payment.proto explains itself: every element has a comment."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

PROTO = Path(__file__).parents[2] / "proto"
#: Numbers of the fields in descriptor.proto, of which the paths of comments are made.
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS, _NESTED, _NESTED_ENUMS, _ONEOFS = 2, 3, 4, 8
_VALUES = _METHODS = 2

Element = tuple[str, tuple[int, ...]]


def read(folder: Path) -> FileDescriptorProto:
    """The file's descriptor with its comments, which generated code does not keep."""
    output = folder / "payment.binpb"
    options = (f"-I{PROTO}", "--include_source_info", f"--descriptor_set_out={output}")
    command = [sys.executable, "-m", "grpc_tools.protoc", *options, "payment.proto"]
    subprocess.run(command, check=True)
    return FileDescriptorSet.FromString(output.read_bytes()).file[0]


def elements(file: FileDescriptorProto) -> Iterator[Element]:
    """Name and path of each element."""
    for i, message in enumerate(file.message_type):
        yield from in_message(message, (_MESSAGES, i))
    for i, enum in enumerate(file.enum_type):
        yield from in_enum(enum, (_ENUMS, i))
    for i, service in enumerate(file.service):
        yield service.name, (_SERVICES, i)
        yield from named(service.name, service.method, (_SERVICES, i, _METHODS))


def in_message(message: DescriptorProto, path: tuple[int, ...]) -> Iterator[Element]:
    yield message.name, path
    yield from named(message.name, message.field, (*path, _FIELDS))
    # An optional field is in a oneof that protoc makes up; those come last.
    made_up = sum(field.proto3_optional for field in message.field)
    written = message.oneof_decl[: len(message.oneof_decl) - made_up]
    yield from named(message.name, written, (*path, _ONEOFS))
    for i, nested in enumerate(message.nested_type):
        # A map's entries are a nested message that protoc makes up.
        if not nested.options.map_entry:
            yield from in_message(nested, (*path, _NESTED, i))
    for i, enum in enumerate(message.enum_type):
        yield from in_enum(enum, (*path, _NESTED_ENUMS, i))


def in_enum(enum: EnumDescriptorProto, path: tuple[int, ...]) -> Iterator[Element]:
    yield enum.name, path
    yield from named(enum.name, enum.value, (*path, _VALUES))


def named(parent: str, children: Sequence[object], path: tuple[int, ...]) -> Iterator[Element]:
    for i, child in enumerate(children):
        yield f"{parent}.{child.name}", (*path, i)  # type: ignore[attr-defined]


def test_every_element_has_a_comment(tmp_path: Path) -> None:
    file = read(tmp_path)
    commented = {
        tuple(location.path)
        for location in file.source_code_info.location
        if location.leading_comments.strip()
    }
    found = dict(elements(file))
    assert len(found) > 100
    assert [name for name, path in found.items() if path not in commented] == []
