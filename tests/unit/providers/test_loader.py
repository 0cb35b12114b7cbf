"""Plugins are found by their entry points, checked, built, and fail alone with a reason."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import trio
from trio.testing import MockClock
from unit.providers.toys import Journal, TrioClock, an_operation, half

from payd.domain.evidence import NotAttempted
from payd.plugins import SDK_VERSION, NoMetrics
from payd.providers.discovery import (
    EnabledPlugin,
    PluginError,
    commands_of,
    configured,
)
from payd.providers.fence import Fence
from payd.providers.loader import FailureMode, OpenProviders, described_methods, open_providers

Install = Callable[..., str]

PLUGIN = """
from contextlib import asynccontextmanager
from datetime import timedelta
import trio
from payd.plugins import *

class Config(ProviderConfig):
    greeting: str = "hello"
    retries: int = 3
    loud: bool = False

class Toy:
    def __init__(self, context, config):
        self.context, self.config = context, config
    async def create(self, operation):
        said = f"{{self.config!r}} {{dict(self.context.secrets)}}"
        return Created(reference="toy", next_action=Redirect(url=said))
    async def fetch(self, ref): return Absent()
    async def cancel(self, ref): raise NotAttempted("no")
    async def health(self): pass

LIFE = []

@asynccontextmanager
async def factory(context, config):
    LIFE.append("{name} up")
    {factory}
    yield Toy(context, config)
    LIFE.append("{name} down")

MANIFEST = dict(
    name="{name}", version="1.2.3", sdk="{sdk}", config_model=Config,
    methods=lambda config: tuple(
        Method(key=k, display_name=k, currencies=("USD",)) for k in {methods}
    ),
    capabilities=Capabilities(
        idempotency_window=timedelta(hours=1), lookup=Lookup.NONE, cancel=Cancel.CLOSES
    ),
    credentials={credentials}, for_development={for_development}, factory=factory,
    imports={imports},
)
{module}

@hookimpl
def payd_providers():
    {hook}
    return [ProviderManifest(**MANIFEST)]
"""

FACTORY_IMPORTS = """
import importlib, sys
wheel = importlib.import_module(sys.argv[1])
for module in wheel.MANIFEST.imports:
    importlib.import_module(module)
before = set(sys.modules)
wheel.MANIFEST.factory(None, None)
print(sorted(set(sys.modules) - before))
"""

COMMANDS = """
import click

@hookimpl
def payd_commands(provider):
    {said}
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a wheel's files where Python finds installed ones; gives the provider's name."""
    monkeypatch.syspath_prepend(tmp_path)
    installed: list[str] = []

    def put(name: str, distribution: str | None = None, **parts: str) -> str:
        distribution = distribution or f"payd-{name}-provider"
        defaults = {
            "factory": "pass",
            "module": "",
            "hook": "pass",
            "credentials": "()",
            "imports": "()",
        }
        defaults |= {"sdk": ">=1.0,<2", "methods": repr((name,)), "for_development": "False"}
        source = parts.pop("source", PLUGIN).format(name=name, **(defaults | parts))
        (tmp_path / f"{name}_provider_toy.py").write_text(source)
        info = tmp_path / f"{distribution.replace('-', '_')}-1.2.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2.3\n"
        )
        (info / "entry_points.txt").write_text(f"[payd]\n{name} = {name}_provider_toy\n")
        installed.append(f"{name}_provider_toy")
        return name

    yield put
    for module in installed:
        sys.modules.pop(module, None)


async def load(
    *plugins: str | EnabledPlugin,
    mode: FailureMode = FailureMode.DEGRADED,
    environment: str = "test",
    look: Callable[[OpenProviders], Any] = lambda opened: opened,
    **context: Any,
) -> Any:
    enabled = [EnabledPlugin(name=p) if isinstance(p, str) else p for p in plugins]
    async with open_providers(
        enabled,
        environment=environment,
        clock=TrioClock(),
        failure_mode=mode,
        log_of=lambda name: Journal(),
        random=half,
        **context,
    ) as opened:
        said = look(opened)
        return await said if hasattr(said, "__await__") else said


async def refusal(*plugins: str | EnabledPlugin, environment: str = "test") -> PluginError:
    """The one failure, which strict mode raises and degraded mode reports."""
    opened = await load(*plugins, environment=environment)
    (failed,) = opened.report.failed
    with pytest.raises(PluginError) as strict:
        await load(*plugins, mode=FailureMode.STRICT, environment=environment)
    assert str(strict.value) == str(failed)
    assert isinstance(failed, PluginError)
    return failed


async def test_an_enabled_plugin_serves_each_of_its_methods(install: Install) -> None:
    name = install("red", methods="('card', 'wallet')")
    opened = await load(name, mode=FailureMode.STRICT)
    assert [entry.method.key for entry in opened.methods.registered()] == ["card", "wallet"]
    assert opened.methods.by_method("wallet").provider.name == "red"
    assert opened.methods.by_name("red") is opened.fences[0]
    assert opened.methods.by_method("cash") is None
    assert opened.methods.by_name("blue") is None
    (loaded,) = opened.report.loaded
    assert (loaded.name, loaded.version, loaded.methods) == ("red", "1.2.3", ("card", "wallet"))
    assert opened.report.failed == ()


async def test_a_plugin_that_is_not_enabled_is_not_imported(install: Install) -> None:
    install("red")
    install("blue", module="raise SystemExit('imported')")
    opened = await load("red", mode=FailureMode.STRICT)
    assert "blue_provider_toy" not in sys.modules
    assert [loaded.name for loaded in opened.report.loaded] == ["red"]


async def test_what_a_plugin_names_is_imported_before_anything_of_it_runs(
    install: Install,
) -> None:
    install("sdk", source="import sys\nSEEN = 'red_provider_toy' in sys.modules\n")
    install(
        "red",
        imports="('sdk_provider_toy',)",
        factory="import sys; LIFE.append('sdk_provider_toy' in sys.modules)",
    )
    await load("red", mode=FailureMode.STRICT)
    assert sys.modules["red_provider_toy"].LIFE == ["red up", True, "red down"]
    assert sys.modules["sdk_provider_toy"].SEEN


@pytest.mark.parametrize("broken", ["raise RuntimeError('too old')", "raise SystemExit('no')"])
async def test_a_named_module_that_cannot_be_imported_fails_its_plugin_alone(
    install: Install, broken: str
) -> None:
    install("sdk", source=broken)
    install("red", imports="('sdk_provider_toy',)")
    install("blue")
    failed = await refusal("red")
    assert failed.provider == "red"
    assert failed.reason.startswith("cannot import sdk_provider_toy: ")
    assert failed.what_to_do == "fix or reinstall payd-red-provider, or disable it"
    opened = await load("red", "blue")
    assert [loaded.name for loaded in opened.report.loaded] == ["blue"]


@pytest.mark.parametrize("provider", ["stripe", "tempo"])
def test_our_providers_import_their_sdk_before_they_are_built(provider: str) -> None:
    """In a fresh interpreter: what its factory still imports is counted."""
    ran = subprocess.run(
        [sys.executable, "-c", FACTORY_IMPORTS, f"{provider}_provider"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "[]\n"


async def test_settings_from_the_environment_are_text_and_secrets_reach_the_provider(
    install: Install,
) -> None:
    install("red", credentials="('red_key',)")
    settings = {"greeting": "ahoy", "retries": "12", "loud": "true"}
    enabled = EnabledPlugin(name="red", settings=settings, secrets={"red_key": ("new", "old")})
    answer = await load(enabled, look=lambda opened: opened.fences[0].create(an_operation()))
    said = answer.evidence[0].next_action.url
    assert said == "Config(greeting='ahoy', retries=12, loud=True) {'red_key': ('new', 'old')}"
    assert "new" not in repr(enabled)


async def test_a_provider_is_given_its_own_metrics_and_the_cursor_of_its_own_watch(
    install: Install,
) -> None:
    class Figures(NoMetrics):
        def __init__(self, provider: str) -> None:
            self.provider = provider

        def set(self, figure: str, value: float) -> None:
            figures.append((self.provider, figure, value))

    async def read(provider: str) -> str:
        return f"the cursor of {provider}"

    figures: list[tuple[str, str, float]] = []
    install(
        "red", factory="context.metrics.set('lag', 3); LIFE.append(await context.read_cursor())"
    )
    await load("red", metrics_of=Figures, read_cursor=read)
    assert figures == [("red", "lag", 3)]
    assert "the cursor of red" in sys.modules["red_provider_toy"].LIFE


async def test_a_provider_needs_neither_metrics_nor_a_watch(install: Install) -> None:
    install("red", factory="context.metrics.count('a'); LIFE.append(await context.read_cursor())")
    await load("red", mode=FailureMode.STRICT)
    assert sys.modules["red_provider_toy"].LIFE == ["red up", None, "red down"]


async def test_providers_close_in_the_reverse_order_of_their_start(install: Install) -> None:
    install("red")
    install("blue", module="from red_provider_toy import LIFE")
    await load("red", "blue", mode=FailureMode.STRICT)
    life = sys.modules["red_provider_toy"].LIFE
    assert life == ["red up", "blue up", "blue down", "red down"]


async def test_an_enabled_plugin_that_is_not_installed_names_what_to_install() -> None:
    failed = await refusal("purple")
    assert failed.provider == "purple"
    assert "pip install --no-deps FILE.whl" in failed.what_to_do


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"source": "import no_such_sdk"}, "No module named 'no_such_sdk'"),
        ({"source": "raise SystemExit(4)"}, "SystemExit: 4"),
        ({"source": "def broken("}, "SyntaxError"),
        ({"source": ""}, "offers no provider of this name"),
        ({"hook": "raise KeyError('a bug')"}, "KeyError: 'a bug'"),
        ({"hook": "return 7"}, "its payd_providers hook failed"),
        ({"hook": "return None"}, "offers no provider of this name"),
        ({"hook": "return [7]"}, "offers no provider of this name"),
        ({"module": "MANIFEST['name'] = 'other'"}, "offers no provider of this name"),
        ({"sdk": ">=2"}, f"needs plugin interface >=2, this payd has {SDK_VERSION}"),
        ({"sdk": "newest"}, "its sdk range 'newest' is invalid"),
        ({"methods": "()"}, "offers no method"),
        ({"methods": "('Card',)"}, "its method 'Card' is not"),
        ({"credentials": "None"}, "its credentials are not a tuple of names"),
        ({"methods": "broken"}, "NameError"),
        ({"credentials": "('bad_key',)"}, "has no value for bad_key"),
        ({"factory": "raise Misconfigured('wrong chain')"}, "cannot start: Misconfigured: wrong"),
        ({"factory": "yield 7; return"}, "the factory gave a int, not a provider"),
        (
            {"module": "MANIFEST['unproven'] = {'a check': ''}"},
            "its unproven is not a mapping of the kit's checks to reasons",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_broken_plugin_fails_with_its_name_and_reason_and_the_others_go_on(
    install: Install, parts: dict[str, str], reason: str
) -> None:
    install("bad", **parts)
    install("good")
    failed = await refusal("bad", "good")
    assert failed.provider == "bad"
    assert reason in failed.reason
    assert failed.what_to_do
    opened = await load("bad", "good")
    assert [entry.method.key for entry in opened.methods.registered()] == ["good"]


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        ("raise RuntimeError('no route')", "RuntimeError: no route"),
        ("await trio.sleep_forever()", "the factory did not answer within 10 s"),
    ],
    ids=lambda value: value,
)
@pytest.mark.parametrize("mode", FailureMode)
async def test_a_provider_that_cannot_start_now_is_built_again_until_it_serves(
    install: Install, autojump_clock: MockClock, mode: FailureMode, failure: str, why: str
) -> None:
    install("red", factory=f"if len(LIFE) < 3: {failure}")
    install("good")

    async def look(opened: OpenProviders) -> None:
        assert opened.report.failed == ()
        red = opened.methods.by_name("red")
        good = opened.methods.by_name("good")
        assert isinstance(red, Fence)
        assert isinstance(good, Fence)
        assert good.state().running
        assert (red.state().running, red.state().last_error) == (False, why)
        assert (await red.create(an_operation())).evidence == (NotAttempted(),)
        await trio.sleep(60)
        assert red.state().running
        assert (await red.create(an_operation())).error is None

    await load("red", "good", mode=mode, look=look)
    assert sys.modules["red_provider_toy"].LIFE == ["red up"] * 3 + ["red down"]


@pytest.mark.parametrize("mode", FailureMode)
async def test_a_stop_during_the_start_waits_for_no_factory(
    install: Install, autojump_clock: MockClock, mode: FailureMode
) -> None:
    install("good")
    install("red", factory="await trio.sleep_forever()")
    install("blue", factory="await trio.sleep_forever()")
    stop = trio.Event()

    async def look(opened: OpenProviders) -> None:
        assert opened.report.failed == ()
        blue = opened.methods.by_name("blue")
        assert isinstance(blue, Fence)
        assert (await blue.create(an_operation())).evidence == (NotAttempted(),)

    async def stop_soon() -> None:
        await trio.sleep(1)
        stop.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop_soon)
        await load("good", "red", "blue", mode=mode, look=look, stop=stop)
    assert trio.current_time() == 1
    assert sys.modules["good_provider_toy"].LIFE == ["good up", "good down"]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"retries": "many"}, "providers.red.retries"),
        ({"colour": "blue"}, "providers.red.colour"),
        ({"loud": 7}, "providers.red.loud"),
    ],
)
async def test_a_wrong_setting_is_named_with_its_key_and_without_its_value(
    install: Install, settings: dict[str, object], key: str
) -> None:
    install("red")
    failed = await refusal(EnabledPlugin(name="red", settings=settings))
    assert key in failed.reason
    assert failed.what_to_do == f"correct {key}"
    assert "many" not in str(failed)


async def test_on_a_method_conflict_the_later_provider_is_left_out_and_both_are_named(
    install: Install,
) -> None:
    install("red", methods="('card',)")
    install("blue", methods="('wallet', 'card')")
    opened = await load("red", "blue")
    assert [one.name for one in opened.report.loaded] == ["red"]
    assert [entry.method.key for entry in opened.methods.registered()] == ["card"]
    [failed] = opened.report.failed
    assert str(failed).startswith("provider blue: offers the method 'card', which red has; disable")
    with pytest.raises(PluginError, match="provider blue: offers the method 'card', which red has"):
        await load("red", "blue", mode=FailureMode.STRICT)


async def test_one_name_from_two_distributions_is_refused_and_both_named(install: Install) -> None:
    install("red")
    install("red", distribution="red-fork")
    failed = await refusal("red")
    assert failed.reason == "is offered by payd-red-provider, red-fork"


async def test_a_development_provider_is_refused_in_production_unless_allowed(
    install: Install,
) -> None:
    install("red", for_development="True")
    failed = await refusal("red", environment="production")
    assert "refused in production" in failed.reason
    assert "providers.red.allow_in_production" in failed.what_to_do
    allowed = EnabledPlugin(name="red", allow_in_production=True)
    opened = await load(allowed, mode=FailureMode.STRICT, environment="production")
    assert opened.methods.by_method("red") is not None


# -- without building it -----------------------------------------------------------------------


def with_commands(said: str) -> str:
    """A plugin's module whose hook for commands does this."""
    return COMMANDS.format(said=said)


def test_a_plugin_brings_its_commands_under_its_name(install: Install) -> None:
    install("red", module=with_commands("return (click.Command(f'pay-{provider}'),)"))
    install("blue", module="raise SystemExit('imported')")

    assert [command.name for command in commands_of("red")] == ["pay-red"]
    assert "blue_provider_toy" not in sys.modules


@pytest.mark.parametrize(
    "module", ["", with_commands("return ()"), with_commands("return None")], ids=repr
)
def test_a_plugin_needs_no_commands(install: Install, module: str) -> None:
    install("red", module=module)
    assert commands_of("red") == []


def test_what_is_no_command_is_left_out(install: Install) -> None:
    install("red", module=with_commands("return [7, click.Command('pay'), None]"))
    assert [command.name for command in commands_of("red")] == ["pay"]


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"source": "import no_such_sdk"}, "cannot be imported: ModuleNotFoundError"),
        ({"module": with_commands("raise KeyError('a bug')")}, "KeyError: 'a bug'"),
        ({"module": with_commands("raise SystemExit(4)")}, "SystemExit: 4"),
        ({"module": with_commands("return 7")}, "its payd_commands hook failed: TypeError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_commands_that_cannot_be_had_are_an_error_with_name_and_reason(
    install: Install, parts: dict[str, str], reason: str
) -> None:
    install("bad", **parts)
    with pytest.raises(PluginError) as refused:
        commands_of("bad")
    assert refused.value.provider == "bad"
    assert reason in refused.value.reason
    assert "payd-bad-provider" in refused.value.what_to_do


def test_a_plugin_that_is_not_installed_has_no_commands() -> None:
    with pytest.raises(PluginError, match=r"pip install --no-deps FILE\.whl"):
        commands_of("purple")


def test_a_plugins_settings_can_be_had_without_its_secrets(install: Install) -> None:
    install("red", credentials="('red_key',)")
    settings = configured(EnabledPlugin(name="red", settings={"retries": "12"}))
    assert settings.model_dump() == {"greeting": "hello", "retries": 12, "loud": False}

    with pytest.raises(PluginError, match=r"providers\.red\.retries") as refused:
        configured(EnabledPlugin(name="red", settings={"retries": "many"}))
    assert "many" not in str(refused.value)


async def test_methods_are_described_without_building_a_provider(install: Install) -> None:
    install("red", credentials="('red_key',)", methods="(config.greeting, 'wallet')")
    journal = Journal()

    methods = described_methods([EnabledPlugin(name="red", settings={"greeting": "card"})], journal)

    assert [entry.method.key for entry in methods.registered()] == ["card", "wallet"]
    provider = methods.by_name("red")
    assert provider is not None
    assert provider.capabilities.idempotency_window == timedelta(hours=1)
    assert not provider.can_audit
    assert (await provider.create(an_operation())).evidence == (NotAttempted(),)
    assert sys.modules["red_provider_toy"].LIFE == []
    assert journal.lines == []


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"source": "import no_such_sdk"}, "No module named 'no_such_sdk'"),
        ({"hook": "raise KeyError('a bug')"}, "KeyError: 'a bug'"),
        ({"methods": "()"}, "offers no method"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_plugin_that_cannot_be_described_is_reported_and_the_others_go_on(
    install: Install, parts: dict[str, str], reason: str
) -> None:
    install("bad", **parts)
    install("good")
    journal = Journal()

    methods = described_methods([EnabledPlugin(name=name) for name in ("bad", "good")], journal)

    assert [entry.method.key for entry in methods.registered()] == ["good"]
    [(event, fields)] = journal.lines
    assert (event, fields["provider"]) == ("plugin_unusable", "bad")
    assert reason in fields["error"]


def test_the_interface_can_be_imported_without_the_machinery() -> None:
    code = """
        import sys, payd.plugins
        print(*{"payd.providers.loader", "payd.providers.fence", "payd.ports"} & set(sys.modules))
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
