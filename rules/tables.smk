# Tables: .tex with booktabs, and .csv with the same numbers.
# Input: scores of every row, or the sessions. Output: artifacts/<table>.tex and .csv.

for table in [artifact for artifact in ARTIFACTS.values() if artifact.kind == "table"]:

    rule:
        name:
            f"make_{table.name}"
        input:
            source=artifact_inputs(table),
            tokenizer=artifact_tokenizer(table),
        output:
            main=places.artifact_file(STUDY.name, f"{table.name}{table.suffixes[0]}"),
            others=[places.artifact_file(STUDY.name, f"{table.name}{suffix}") for suffix in table.suffixes[1:]],
        log:
            f"logs/{STUDY.name}/make_table/{table.name}.log",
        localrule: True
        conda:
            ENVIRONMENT
        params:
            config=places.study_file(STUDY.name),
            name=table.name,
            options=artifact_options(table),
            digest=artifact_digest(table),
        shell:
            "python -m scripts.make_table --name {params.name:q} --config {params.config:q} {params.options:q} "
            "{input.source:q} --out {output.main:q} > {log:q} 2>&1"
