# Inference: one job a shard of the plan; a shard loads one model once and computes what the cell store lacks.
# Input: sessions/<task>.parquet, and results/models/<model>/ of a model that is trained here.
# Output: cells/<model>/<row>/<task>/<mode>/<first>-<stop>.jsonl, a result a line.
# The store, results/store, is not declared: what was finished there survives a job that fails.

for plan, shard in [(plan, shard) for plan in PLANS for shard in plan.shards]:

    rule:
        name:
            f"infer_{job_name(plan, shard.name)}"
        input:
            sorted({places.sessions_file(plan.study.name, unit.task) for unit in shard.units}),
            awaited_files(shard.model),
            # Not ancient(): Snakemake then forgets to ask whether this job has reasons of its own to run.
            baseline_files(shard.model),
        output:
            [part.path for part in plan.parts(shard)],
        log:
            f"logs/{STUDY.name}/infer/{job_name(plan, shard.name)}.log",
        conda:
            INFERENCE_ENVIRONMENT
        threads: STUDY.execution.threads
        resources:
            **job_resources(shard.model, plan.minutes(shard)),
        params:
            config=places.study_file(plan.study.name),
            shard=shard.name,
            digest=lambda wildcards, plan=plan, shard=shard: shard_digest(plan, shard),
            # A job that waited while the code was edited is not the one that was planned (on a cluster it is planned
            # anew as it starts). Not asked where --sdm may bring another Python, which has digests of its own.
            code="" if DEPLOYED else code_of(plan.study, shard, ROW_CODE),
        shell:
            "python -m scripts.infer --config {params.config:q} --shard {params.shard:q} --code={params.code} "
            "> {log:q} 2>&1"
