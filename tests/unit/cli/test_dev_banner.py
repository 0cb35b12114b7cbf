"""The banner of `payd dev`: the shop and the console, and everything on request."""

from payd.cli.dev_banner import Banner

SERVERS = {
    "grpc": "127.0.0.1:50051",
    "postgres": "postgresql://payd:secret@127.0.0.1:5432/payd",
    "operator_cert": "/state/pki/operator.crt",
}
SHOP = {"example": "http://127.0.0.1:8000"}
CONSOLE = {"console": "http://127.0.0.1:8086"}


def a_banner(**document: str) -> Banner:
    return Banner(
        document={**SERVERS, **document},
        state=".payd",
        commands=("payd pay --item a/b/c",),
        program="payd",
    )


def test_two_lines_say_where_to_look_first() -> None:
    lines = list(a_banner(**SHOP, **CONSOLE).short())
    assert lines == [
        "  Shop     http://127.0.0.1:8000",
        "  Console  http://127.0.0.1:8086",
        "",
        "All addresses, and commands to try: .payd/dev.json, or --verbose.",
    ]


def test_the_console_comes_with_what_it_asks_for() -> None:
    login = {"console_user": "dev", "console_password": "1f2e"}
    [_, console, *_] = a_banner(**SHOP, **CONSOLE, **login).short()
    assert console == "  Console  http://127.0.0.1:8086  (user dev, password 1f2e)"


def test_without_anything_for_a_browser_the_port_of_callers_is_named() -> None:
    [first, *_] = a_banner().short()
    assert first == "  gRPC  127.0.0.1:50051"


def test_everything_is_said_on_request_but_what_is_for_programs() -> None:
    text = "\n".join(a_banner(**SHOP, console_password="1f2e", wallet_command="pay").full())
    for part in (SERVERS["postgres"], SHOP["example"], "payd pay --item a/b/c", "payd --help"):
        assert part in text
    assert "operator.crt" not in text
    assert "wallet_command" not in text
    assert "state " in text
