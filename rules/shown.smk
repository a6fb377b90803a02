# What is shown of the artifacts: in the page of `snakemake --report`, by category, and as one document in figures/.
from snakemake.io import report as shown_in_report

from scbench.artifacts import paperkey
from scbench.artifacts.catalogue import catalogue

# What a page is made of, where a browser could not show the artifact itself.
VIEWED = {"table": ".csv", "report": ".md"}


def in_report(entry, file):
    """`file`, with what the page says about the artifact that it shows."""
    return shown_in_report(
        file,
        category=entry.category,
        # The page sorts by letters; and of a second label it makes a switch where a category happens to hold two artifacts.
        labels={"artifact": re.sub(r"\b(\d)$", r"0\1", entry.label)},
        caption="../resources/report/artifact.rst",
    )


def offered(entry, suffix):
    """A file in figures/; a picture stands in the report as it is."""
    file = f"figures/{entry.artifact.name}{suffix}"
    return in_report(entry, file) if suffix == ".png" else file


def views():
    """What the report shows of each artifact: its picture, or a page of its numbers or words."""
    return [
        (
            places.view_file(STUDY.name, entry.artifact.name)
            if entry.artifact.kind in VIEWED
            else f"figures/{entry.artifact.name}.png"
        )
        for entry in catalogue()
    ]


def offered_paper():
    """The document, where there is something to set it with."""
    if paperkey.program():
        return [f"figures/{paperkey.NAME}.pdf"]
    if workflow.is_main_process:
        logger.info(paperkey.missing())
    return []
