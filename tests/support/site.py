"""A folder with the metadata of installed plugins, for a PYTHONPATH."""

from pathlib import Path


def install(
    site: Path, name: str, module: str, source: str | None = None, remote: str = ""
) -> None:
    """Make `module` the plugin of this name; with `source`, write the module, too.

    `remote`: what opens its remote side for the kit, as `module:function`.
    """
    info = site / f"payd_{name}_provider-0.1.0.dist-info"
    info.mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: payd-{name}-provider\nVersion: 0.1\n"
    (info / "METADATA").write_text(metadata)
    points = f"[payd]\n{name} = {module}\n"
    if remote:
        points += f"[payd.conformance]\n{name} = {remote}\n"
    (info / "entry_points.txt").write_text(points)
    if source is not None:
        (site / f"{module}.py").write_text(source)
