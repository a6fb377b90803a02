# Figures, and what is offered in figures/: the study's tables and figures, each with a sidecar that leads back.
# Input: scores of every row; artifacts/<name>. Output: artifacts/<figure>.pdf, .png and .csv; figures/<name>.

for figure in [artifact for artifact in ARTIFACTS.values() if artifact.kind == "figure"]:

    rule:
        name:
            f"make_{figure.name}"
        input:
            source=artifact_inputs(figure),
            tokenizer=artifact_tokenizer(figure),
        output:
            main=places.artifact_file(STUDY.name, f"{figure.name}{figure.suffixes[0]}"),
            others=[places.artifact_file(STUDY.name, f"{figure.name}{suffix}") for suffix in figure.suffixes[1:]],
        log:
            f"logs/{STUDY.name}/make_figure/{figure.name}.log",
        localrule: True
        conda:
            ENVIRONMENT
        params:
            config=places.study_file(STUDY.name),
            name=figure.name,
            options=artifact_options(figure),
            digest=artifact_digest(figure),
        shell:
            "python -m scripts.make_figure --name {params.name:q} --config {params.config:q} {params.options:q} "
            "{input.source:q} --out {output.main:q} > {log:q} 2>&1"


for entry in catalogue():

    # All files of an artifact in one job: to start one takes longer than to copy them.
    rule:
        name:
            f"offer_{entry.artifact.name}"
        input:
            [places.artifact_file(STUDY.name, f"{entry.artifact.name}{suffix}") for suffix in entry.artifact.suffixes],
        output:
            [offered(entry, suffix) for suffix in entry.artifact.suffixes],
        log:
            f"logs/{STUDY.name}/offer/{entry.artifact.name}.log",
        localrule: True
        conda:
            ENVIRONMENT
        params:
            label=entry.label,
            caption=entry.caption,
        shell:
            "python -m scripts.offer {input:q} --to figures > {log:q} 2>&1"
