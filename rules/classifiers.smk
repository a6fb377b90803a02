# Token classifiers that are made here, for the method llmlingua2: train one, then name its directory in the study as the
# method's `classifier`.
# Input: the recipe that resources/classifiers.lock.yaml names. Output: results/classifiers/<name>/, a transformers
# checkpoint, and training.json.
from scbench import classifiers

LEARNING = {name: found.recipe for name, found in classifiers.read_classifiers().items() if found.recipe}


rule train_classifier:
    input:
        recipe=lambda wildcards: os.path.relpath(LEARNING[wildcards.classifier]),
    output:
        [f"{places.classifier_directory('{classifier}')}/{file}" for file in (*classifiers.EXPORTED, REPORT)],
    log:
        "logs/train_classifier/{classifier}.log",
    wildcard_constraints:
        classifier="|".join(map(re.escape, LEARNING)),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=2000,
        # minilm_classifier: 192 seconds of a core's time.
        runtime=30,
    params:
        out=lambda wildcards: places.classifier_directory(wildcards.classifier),
        digest=lambda wildcards: classifiers.training_digest(LEARNING[wildcards.classifier]),
    shell:
        "OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS={threads} python -m scripts.train_classifier --recipe {input.recipe:q} "
        "--out {params.out:q} --threads {threads} > {log:q} 2>&1"
