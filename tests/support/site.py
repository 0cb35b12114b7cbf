"""A folder with the metadata of installed plugins, for a PYTHONPATH."""

from pathlib import Path


def install(site: Path, name: str, module: str, source: str | None = None) -> None:
    """Make `module` the plugin of this name; with `source`, write the module, too."""
    info = site / f"payd_{name}_provider-0.1.0.dist-info"
    info.mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: payd-{name}-provider\nVersion: 0.1\n"
    (info / "METADATA").write_text(metadata)
    (info / "entry_points.txt").write_text(f"[payd]\n{name} = {module}\n")
    if source is not None:
        (site / f"{module}.py").write_text(source)
