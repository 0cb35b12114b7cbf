"""payd, an isolated payment service: the version, and nothing that costs an import."""

__version__ = "0.1.0"
