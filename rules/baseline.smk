# The check of the baseline: full attention has to work on a model before its inference starts, in studies of mini scale.
# Input: results/models/<model>/ of a model that is trained here. Output: baseline/<model>.json.
# A job that stays below a floor fails and says why; `check_baseline: false` in a study leaves it out.

for model in STUDY.models if baseline.applies(STUDY) else ():

    rule:
        name:
            baseline.job(model)
        input:
            sorted({*awaited_files(STUDY.models[0]), *awaited_files(model)}),
        output:
            places.baseline_file(STUDY.name, model.name),
        log:
            f"logs/{STUDY.name}/check_baseline/{model.name}.log",
        conda:
            ENVIRONMENT
        threads: STUDY.execution.threads
        resources:
            **job_resources(model, job_minutes(STUDY, baseline.seconds(STUDY, model))),
        params:
            config=places.study_file(STUDY.name),
            model=model.name,
            digest=baseline.digest(STUDY, model),
        shell:
            "python -m scripts.check_baseline --config {params.config:q} --model {params.model:q} --out {output:q} "
            "> {log:q} 2>&1"
