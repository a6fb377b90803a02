# Tables of what is finished so far, at any time of a run and beside it: snakemake --profile local figures/partial/table4.tex
# Input: the store and the cells as they are; declared are none, as asking must start nothing.
# Output: figures/partial/<table>.tex and .csv, which say PARTIAL and what they lack.
from scbench.status import study_status


rule make_partial:
    output:
        tex="figures/partial/{table}.tex",
        csv="figures/partial/{table}.csv",
    log:
        f"logs/{STUDY.name}/make_partial/{{table}}.log",
    wildcard_constraints:
        table="|".join(table.name for table in ARTIFACTS.values() if table.kind == "table"),
    localrule: True
    conda:
        ENVIRONMENT
    params:
        config=places.study_file(STUDY.name),
        # Once more of it is finished, or the study or its code changed, the table is another one.
        finished=lambda wildcards: sum(study_status(plan).done for plan in PLANS),
        digest=lambda wildcards: digest_value(
            [
                identity.digest(ARTIFACTS[wildcards.table], STUDY),
                *(cell_digest(plan.study, cell) for plan in PLANS for cell in plan.cells),
            ]
        ),
    shell:
        "python -m scripts.make_partial --name {wildcards.table:q} --config {params.config:q} --out {output.tex:q} "
        "> {log:q} 2>&1"
