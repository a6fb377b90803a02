# Sessions: the contexts and questions of each task.
# Input: the study alone (seeded generators), or what the task is made from (rules/raw.smk); where its first model is
# trained here, that model: its tokens are counted.
# Output: results/<study>/sessions/<task>.parquet, one row a session; `snakemake sessions` makes what needs no network.


rule build_sessions:
    input:
        awaited_files(STUDY.models[0]),
        raw=lambda wildcards: raw_inputs(wildcards.task),
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


for plan in PLANS[1:]:

    # A study beside ours asks the same questions: copies, with sidecars that lead back.
    rule:
        name:
            job_name(plan, "sessions")
        input:
            [places.sessions_file(STUDY.name, task) for task in plan.study.tasks],
        output:
            [places.sessions_file(plan.study.name, task) for task in plan.study.tasks],
        log:
            f"logs/{STUDY.name}/build_sessions/{job_name(plan, 'sessions')}.log",
        localrule: True
        conda:
            ENVIRONMENT
        params:
            directory=lambda wildcards, output: os.path.dirname(output[0]),
        shell:
            "python -m scripts.offer {input:q} --to {params.directory:q} > {log:q} 2>&1"


LEFT_OUT = [task for task in STUDY.tasks if not at_hand(task)]


# All sessions that can be made without the network; of the others, ask for the file itself.
rule sessions:
    input:
        [places.sessions_file(STUDY.name, task) for task in STUDY.tasks if task not in LEFT_OUT],
    localrule: True
    message:
        f"sessions of {STUDY.name}: left out, for what they are made from is neither here nor in data.mirror: "
        f"{', '.join(LEFT_OUT)}"
        if LEFT_OUT
        else f"sessions of {STUDY.name}: all of them"
