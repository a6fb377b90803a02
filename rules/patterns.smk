# Head patterns for the method minference, found by a search that no study waits for: run it, then name its file in the
# study as the method's `patterns`.
# Input: results/models/<model>/ of a model that is trained here. Output: results/patterns/<model>-<tokens>.json, tokens
# being the length of the study's contexts.
from scbench import patternsearch

SEARCHED = read_models() | {model.name: model for model in STUDY.models}

for model in [model for model in SEARCHED.values() if model.engine == "transformers"]:

    rule:
        name:
            f"search_patterns_{model.name}"
        input:
            awaited_files(model),
        output:
            places.patterns_file(model.name, "{length}"),
        log:
            f"logs/search_patterns/{model.name}-{{length}}.log",
        wildcard_constraints:
            length="[0-9]+",
        conda:
            ENVIRONMENT
        threads: STUDY.execution.threads
        resources:
            **job_resources(
                model,
                lambda wildcards, model=model: job_minutes(STUDY, patternsearch.seconds(model, int(wildcards.length))),
            ),
        params:
            model=model.name,
            trained=["--trained"] if model.source == "train" else [],
            digest=lambda wildcards, model=model: patternsearch.digest(model, int(wildcards.length)),
        shell:
            "python -m scripts.search_patterns --model {params.model:q} {params.trained} --tokens {wildcards.length} "
            "--threads {threads} --out {output:q} > {log:q} 2>&1"
