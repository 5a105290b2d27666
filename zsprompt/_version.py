"""The version, importable from any room without the package's top."""

__version__ = "0.1.0"
