# Models. Those that are trained here, from sources in this repository, for studies that list them with `source: train`.
# Input: resources/recipes/<model>.yaml. Output: results/models/<model>/, a transformers checkpoint, and training.json.
# Those of the hub. Input: the hub, or the study's data.mirror. Output: results/models/<model>/, the files that
# resources/models.lock.yaml pins.

FETCHED = [model for model in STUDY.models if fetched_files(model)]

for model in FETCHED:

    rule:
        name:
            f"fetch_{model.name}"
        output:
            fetched_files(model),
        log:
            f"logs/fetch_model/{model.name}.log",
        priority: 100
        # Nodes of a cluster often reach no network, and one that is gated is to fail before anything else runs.
        localrule: True
        conda:
            ENVIRONMENT
        params:
            config=places.study_file(STUDY.name),
            model=model.name,
        shell:
            "python -m scripts.fetch_model --config {params.config:q} --name {params.model:q} > {log:q} 2>&1"


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
    threads: 2
    resources:
        # A process takes up to 660; there is one for each thread, and one that builds documents.
        mem_mb=lambda wildcards, threads: 1000 * (threads + 1),
        # minilm took 36 minutes in two processes on two cores of an AMD EPYC; a core of an Intel Xeon at 2.5 GHz was
        # measured at half to four fifths of their speed. A run that is stopped here goes on when it is tried again.
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        out=lambda wildcards: places.model_directory(wildcards.trained),
        training=lambda wildcards: training_directory(wildcards.trained),
    shell:
        "OMP_NUM_THREADS=1 python -m scripts.train_minilm --recipe {input.recipe:q} --out {params.out:q} "
        "--training {params.training:q} --resume --processes {threads} > {log:q} 2>&1"
