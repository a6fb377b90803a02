# Scores: every answered turn by its task's metric, in both profiles.
# Input: the cells of one row. Output: scores/<model>/<row>.parquet, a turn a line.

for plan in PLANS:

    rule:
        name:
            job_name(plan, "score")
        input:
            lambda wildcards, plan=plan: [part.path for part in plan.parts_by_row[wildcards.model, wildcards.label]],
        output:
            places.scores_file(plan.study.name, "{model}", "{label}"),
        log:
            f"logs/{STUDY.name}/{job_name(plan, 'score')}/{{model}}-{{label}}.log",
        localrule: True
        conda:
            ENVIRONMENT
        params:
            config=places.study_file(plan.study.name),
            digest=scores_digest(),
        shell:
            "python -m scripts.score --in {input:q} --out {output:q} --config {params.config:q} > {log:q} 2>&1"
