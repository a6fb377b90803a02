# What comes from outside, each file of resources/raw.lock.yaml by itself; `snakemake raw` fetches what the study needs.
# Input: public addresses, or the study's data.mirror. Output: results/raw/<source>/<file>, shared by all studies.

SOURCES = read_sources()


rule fetch_raw:
    output:
        places.raw_file("{source}", "{file}"),
    log:
        "logs/fetch_raw/{source}/{file}.log",
    wildcard_constraints:
        source="|".join(map(re.escape, SOURCES)),
        file="|".join(re.escape(file) for source in SOURCES.values() for file in source.files),
    # Nodes of a cluster often reach no network.
    localrule: True
    conda:
        ENVIRONMENT
    params:
        config=places.study_file(STUDY.name),
        # Where the bytes come from decides nothing, so that another mirror fetches nothing again.
        revision=lambda wildcards: SOURCES[wildcards.source].revision,
    shell:
        "python -m scripts.fetch_raw --config {params.config:q} --source {wildcards.source:q} "
        "--file {wildcards.file:q} > {log:q} 2>&1"


rule raw:
    input:
        sorted({path for task in STUDY.tasks for path in raw_inputs(task)}),
    localrule: True
