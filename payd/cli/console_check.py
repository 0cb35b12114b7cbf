"""Check the operator console: whether it is on, where it listens, and how many can log in."""

from collections.abc import Mapping
from typing import Any

from payd.cli.ask_daemon import Finding, host_to_ask, in_url

_TIMEOUT_S = 5.0


def console_finding(config: Any) -> Finding:
    """Say how the console stands. It is off by default, which is no failure."""
    console = config.console
    if not console.enabled:
        return Finding("console", True, "off: PAYD_CONSOLE_ENABLED=true serves it")
    if not console.port:
        return Finding("console", True, "on, at a free port that the line daemon_started names")
    try:
        names = _operators(console)
    except ValueError as error:
        return Finding("console", False, f"no operator can log in: {error}; fix console.users")
    by_proxy = bool(console.proxy_user_header and console.proxy_secret)
    if not names and not by_proxy:
        return Finding(
            "console",
            False,
            "no operator can log in: add a line of `payd console-user NAME` to the file that"
            " PAYD_CONSOLE_USERS_FILE names (in Vault: console_users)",
        )
    url = f"http://{in_url(host_to_ask(console.host))}:{console.port}"
    who = [f"{len(names)} {'operator' if len(names) == 1 else 'operators'} by password"]
    if by_proxy:
        who.append(f"any that the proxy names in {console.proxy_user_header}")
    if not _answers(url):
        return Finding("console", False, f"no answer at {url}: restart payd after switching it on")
    return Finding("console", True, f"at {url}; can log in: {', and '.join(who)}")


def _operators(console: Any) -> Mapping[str, Any]:
    """The operators by name. Raises ValueError."""
    from payd.transport.console.passwords import entries_of

    lines = [line for secret in console.users or () for line in secret.reveal().splitlines()]
    return entries_of(tuple(line for line in lines if line.strip()))


def _answers(url: str) -> bool:
    import httpx

    try:
        return httpx.get(f"{url}/login", timeout=_TIMEOUT_S, trust_env=False).status_code == 200
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
