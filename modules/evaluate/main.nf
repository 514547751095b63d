process EVALUATE {
    tag "${meta.id}"
    label 'process_single'
    ext sources: Sources.digest('evaluate')

    input:
    tuple val(meta), path(parts), path(data, stageAs: 'data/*'), val(digest), val(reading), path(annotation, stageAs: 'annotation/*'), val(column), path(truth, stageAs: 'truth/*')

    output:
    tuple val(meta), path('{scores.json,*.status.json}'), emit: parts

    script:
    def made = parts.collect { part -> part.name }
    def domains = 'domains.tsv' in made && (annotation || column) ? "--domains=domains.tsv --annotation=${annotation ?: Shell.quote(column)}" : ''
    def proportions = 'proportions.tsv' in made && truth ? "--proportions=proportions.tsv --truth=${truth}" : ''
    """
    # ${task.ext.sources}
    evaluate.py --sample=${meta.id} --threads=${task.cpus} --status=${meta.id}.evaluate.status.json \\
        --data=${data} ${reading} --qc=qc.tsv ${domains} ${proportions} ${task.ext.args ?: ''} ${task.ext.args2 ?: ''}
    """

    stub:
    """
    echo '{"domains": null, "proportions": null}' > scores.json
    ${Stub.note(meta.id, 'evaluate')}
    """
}
