# Reports: what a study says, in words (.md) and for programs (.json).
# Input: scores of every row. Output: artifacts/<report>.md and .json.

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
