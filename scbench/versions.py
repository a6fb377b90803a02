"""The versions of installed libraries, on which the bits of a result depend."""

from importlib import metadata


def version(distribution: str) -> str | None:
    """The installed version of `distribution`; None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
