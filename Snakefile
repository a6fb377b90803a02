# The pipeline: sessions -> inference -> scores -> tables and figures, for one study.
#
#   snakemake --profile local                                          everything of config.yaml's study, on this machine
#   snakemake --profile local figures/table4.tex                       one table
#   snakemake --profile slurm figures/table4.tex                       studies/paper.yaml, on a cluster
#   snakemake -n figures/table4.tex --configfile studies/paper.yaml    what that would run
from snakemake.utils import min_version

min_version("9.19")

# A study file stands for itself: merged over another it would inherit that one's methods.
if not workflow.overwrite_configfiles:

    configfile: f"{workflow.basedir}/config.yaml"


# For --sdm apptainer alone; built from envs/scbench.def.
container: f"{workflow.basedir}/envs/scbench.sif"


include: "rules/common.smk"
include: "rules/shown.smk"
include: "rules/models.smk"
include: "rules/classifiers.smk"
include: "rules/patterns.smk"
include: "rules/latency.smk"
include: "rules/raw.smk"
include: "rules/sessions.smk"
include: "rules/baseline.smk"
include: "rules/inference.smk"
include: "rules/attention.smk"
include: "rules/scores.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/reports.smk"
include: "rules/partial.smk"
include: "rules/provenance.smk"
include: "rules/cluster.smk"


rule all:
    default_target: True
    input:
        offered_files(),
        offered_paper(),


# Snakemake leaves a function of each rule among the globals, though it calls it by other means, and copies all globals
# several times for each command that it shows: of thousands of jobs that took more time than all else.
for made in workflow.rules:
    globals().pop(f"__{made.name}", None)


onstart:
    check_start()
    start_run()
    fold_ledger()
    lift_limit()
