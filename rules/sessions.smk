# Sessions: the contexts and questions of each task.
# Input: the study alone (seeded generators); where its first model is trained here, that model: its tokens are counted.
# Output: results/<study>/sessions/<task>.parquet, one row a session.


rule build_sessions:
    input:
        awaited_files(STUDY.models[0]),
    output:
        places.sessions_file(STUDY.name, "{task}"),
    log:
        f"logs/{STUDY.name}/build_sessions/{{task}}.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        config=places.study_file(STUDY.name),
        digest=lambda wildcards: sessionkey.digest(STUDY, wildcards.task),
    shell:
        "python -m scripts.build_sessions --config {params.config:q} --task {wildcards.task:q} --out {output:q} "
        "> {log:q} 2>&1"
