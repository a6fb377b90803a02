# Reports: what a study says, in words (.md) and for programs (.json); one document of everything; pages of what is no
# picture, for the report that Snakemake makes: snakemake --profile local views, then the same with --report report.html.
# Input: scores of every row; artifacts/<name>. Output: artifacts/<report>.md and .json, artifacts/paper.pdf,
# figures/paper.pdf, views/<name>.html.

for report in [artifact for artifact in ARTIFACTS.values() if artifact.kind == "report"]:

    rule:
        name:
            f"make_{report.name}"
        input:
            source=artifact_inputs(report),
        output:
            main=places.artifact_file(STUDY.name, f"{report.name}{report.suffixes[0]}"),
            others=[places.artifact_file(STUDY.name, f"{report.name}{suffix}") for suffix in report.suffixes[1:]],
        log:
            f"logs/{STUDY.name}/make_report/{report.name}.log",
        localrule: True
        conda:
            ENVIRONMENT
        params:
            config=places.study_file(STUDY.name),
            name=report.name,
            digest=artifact_digest(report),
        shell:
            "python -m scripts.make_report --name {params.name:q} --config {params.config:q} "
            "--scores {input.source:q} --out {output.main:q} > {log:q} 2>&1"


rule make_paper:
    input:
        list(paperkey.files(os.path.dirname(places.artifact_file(STUDY.name, "")))),
    output:
        places.artifact_file(STUDY.name, f"{paperkey.NAME}.pdf"),
    log:
        f"logs/{STUDY.name}/make_paper.log",
    localrule: True
    conda:
        ENVIRONMENT
    params:
        config=places.study_file(STUDY.name),
        artifacts=lambda wildcards, input: os.path.dirname(input[0]),
        digest=lambda wildcards: paperkey.digest(STUDY),
    shell:
        "python -m scripts.make_paper --config {params.config:q} --artifacts {params.artifacts:q} --out {output:q} "
        "> {log:q} 2>&1"


rule offer_paper:
    input:
        places.artifact_file(STUDY.name, f"{paperkey.NAME}.pdf"),
    output:
        shown_in_report(
            f"figures/{paperkey.NAME}.pdf",
            category="All in one",
            labels={"artifact": "All tables and figures"},
            caption="../resources/report/paper.rst",
        ),
    log:
        f"logs/{STUDY.name}/offer/{paperkey.NAME}.log",
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        "python -m scripts.offer {input:q} --to figures > {log:q} 2>&1"


for entry in [entry for entry in catalogue() if entry.artifact.kind in VIEWED]:

    rule:
        name:
            f"view_{entry.artifact.name}"
        input:
            places.artifact_file(STUDY.name, f"{entry.artifact.name}{VIEWED[entry.artifact.kind]}"),
        output:
            in_report(entry, places.view_file(STUDY.name, entry.artifact.name)),
        log:
            f"logs/{STUDY.name}/view/{entry.artifact.name}.log",
        localrule: True
        conda:
            ENVIRONMENT
        params:
            label=entry.label,
            caption=entry.caption,
        shell:
            "python -m scripts.make_view {input:q} --title {params.label:q} --caption {params.caption:q} --out {output:q} "
            "> {log:q} 2>&1"


rule views:
    input:
        views(),
