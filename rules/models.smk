# Models that are made here, from sources in this repository, for studies that list them with `source: train`.
# Input: resources/recipes/<model>.yaml. Output: results/models/<model>/, a transformers checkpoint, and training.json.


rule train_minilm:
    input:
        recipe=lambda wildcards: os.path.relpath(TRAINABLE[wildcards.trained].recipe_file),
    output:
        model_files("{trained}"),
    log:
        "logs/train_minilm/{trained}.log",
    wildcard_constraints:
        trained="|".join(map(re.escape, TRAINABLE)),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=2000,
        # minilm: 155 minutes on one thread of machines that were not idle. A run that is stopped here goes on when it is
        # tried again.
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        out=lambda wildcards: places.model_directory(wildcards.trained),
        training=lambda wildcards: training_directory(wildcards.trained),
    shell:
        "OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS={threads} python -m scripts.train_minilm --recipe {input.recipe:q} "
        "--out {params.out:q} --training {params.training:q} --resume --threads {threads} > {log:q} 2>&1"
