"""The versions of installed libraries, on which the bits of a result depend."""


def version(distribution: str) -> str | None:
    """The installed version of `distribution`; None where it is not installed."""
    from importlib import metadata  # takes an audit, which asks for no version, longer to import than all else of ours

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
