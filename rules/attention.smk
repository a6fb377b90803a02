# What the study's first model attends to in one session of look-ups, for figure 6: one job with the model's resources.
# Input: sessions/retr_kv.parquet, and results/models/<model>/ of a model that is trained here. Output: attention.json,
# which says so where the study has nothing to show.
from scbench import attention

WATCHED = None if attention.lacking(STUDY) else attention.chosen_model(STUDY)


rule:
    name:
        attention.JOB
    input:
        sessions=[places.sessions_file(STUDY.name, attention.TASK)] if WATCHED else [],
        model=awaited_files(WATCHED) if WATCHED else [],
    output:
        places.attention_file(STUDY.name),
    log:
        f"logs/{STUDY.name}/record_attention.log",
    conda:
        ENVIRONMENT
    threads: STUDY.execution.threads if WATCHED else 1
    resources:
        **(job_resources(WATCHED, attention.minutes(STUDY)) if WATCHED else {}),
    params:
        config=places.study_file(STUDY.name),
        sessions=["--sessions"] if WATCHED else [],
        digest=lambda wildcards: digest_value(attention.fields(STUDY)),
    shell:
        "python -m scripts.record_attention --config {params.config:q} {params.sessions} {input.sessions:q} "
        "--out {output:q} > {log:q} 2>&1"
