# Where everything came from: the ledger of what was recorded, a page to look at, and a crate to archive.
# Input: the study's tables and figures. Output: figures/lineage.html, figures/ro-crate-metadata.json.
# The head process folds the sidecars of all jobs into results/provenance/ledger.jsonl when a run begins and ends.
from snakemake.io import report as shown_in_report


rule lineage:
    input:
        offered_files(),
    output:
        shown_in_report("figures/lineage.html", category="Provenance", labels={"view": "lineage of all artifacts"}),
    log:
        f"logs/{STUDY.name}/lineage.log",
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        # A verdict other than OK (status 10 and above) is what the page is there to show.
        "python -m scripts.audit {input:q} --format html > {output:q} 2> {log:q} || test $? -ge 10"


rule crate:
    input:
        offered_files(),
    output:
        "figures/ro-crate-metadata.json",
    log:
        f"logs/{STUDY.name}/crate.log",
    localrule: True
    conda:
        ENVIRONMENT
    shell:
        "python -m scripts.make_crate {input:q} --out {output:q} > {log:q} 2>&1"


onsuccess:
    fold_ledger()


onerror:
    fold_ledger()
