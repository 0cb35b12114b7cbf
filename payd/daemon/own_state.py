"""What the daemon says about itself to an operator: health, loops, settings and versions."""

from collections.abc import Mapping
from typing import Any

import attrs

from payd import __version__
from payd.config import describe
from payd.daemon.current import CurrentConfig
from payd.daemon.readiness import ReadinessProbe
from payd.domain.overview import Health, HealthCheck, LoopHealth
from payd.domain.running import Running, RunningProvider, SettingInForce
from payd.telemetry import Metrics


@attrs.frozen(kw_only=True)
class OwnState:
    """Implements the port DaemonState, on trio."""

    readiness: ReadinessProbe
    current: CurrentConfig
    metrics: Metrics

    async def health(self) -> Health:
        """Check every dependency now; the loops are counted since the start."""
        now = await self.readiness.check()
        restarts, failures = map(_by_task, (self.metrics.restarts, self.metrics.failures))
        return Health(
            checks=[
                HealthCheck(name=name, ok=check.ok, required=check.required, detail=check.detail)
                for name, check in now.checks.items()
            ],
            loops=[
                LoopHealth(name=name, restarts=count, failures=failures.get(name, 0))
                for name, count in sorted(restarts.items())
            ],
        )

    def running(self) -> Running:
        """The configuration in force, with masked secrets."""
        config, providers = self.current.config(), self.readiness.providers
        running = [
            RunningProvider(
                name=state.name,
                version=state.version,
                methods=state.methods,
                problem="" if state.running else f"not running: {state.last_error}",
            )
            for state in (fence.state() for fence in providers.fences)
        ]
        failed = [
            RunningProvider(name=error.provider, problem=f"{error.reason}: {error.what_to_do}")
            for error in providers.report.failed
        ]
        return Running(
            version=__version__,
            environment=config.environment,
            pricing_version=self.current.current().version,
            providers=[*running, *failed],
            settings=[
                SettingInForce(key=row.key, value=row.value, variable=row.env, source=row.source)
                for row in describe(config)
            ],
        )


def _by_task(counter: Any) -> Mapping[str, int]:
    """The values of a counter that has the one label `task`."""
    return {
        sample.labels["task"]: int(sample.value)
        for metric in counter.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }
