# What each method of a study costs end to end, measured alone: no study waits for it.
# Input: results/models/<model>/ of a model that is trained here. Output: results/<study>/latency.yaml; kept in
# resources/measurements/ as latency-<study>-<model>-<device>.yaml it is shown by figures/latency.tex and pareto.pdf.
# A job that was stopped goes on with the method at which it was: what is measured is kept in results/store/latency.
from scbench import latency


rule measure_latency:
    input:
        awaited_files(STUDY.models[0]),
    output:
        places.latency_file(STUDY.name),
    log:
        f"logs/{STUDY.name}/measure_latency.log",
    conda:
        ENVIRONMENT
    threads: STUDY.execution.threads
    resources:
        **job_resources(STUDY.models[0], job_minutes(STUDY, latency.seconds(STUDY))),
    params:
        config=places.study_file(STUDY.name),
        digest=lambda wildcards: latency.digest(STUDY),
    shell:
        "python -m scripts.measure_latency --config {params.config:q} --out {output:q} > {log:q} 2>&1"
