process CHECK_SLICE {
    tag "${meta.id}"
    label 'process_single'
    ext sources: Sources.digest('check_slice')

    input:
    tuple val(meta), path(data, stageAs: 'data/*'), val(digest), val(reading), val(n_domains), path(annotation, stageAs: 'annotation/*'), val(column), path(proportions, stageAs: 'proportions/*'), path(names, stageAs: 'names/*')

    output:
    tuple val(meta), path('check.json')                 , emit: check, optional: true
    tuple val(meta), path('{check.json,*.status.json}') , emit: parts

    script:
    def truth = annotation || column ? "--annotation=${annotation ?: Shell.quote(column)}" : ''
    def known = (proportions ? "--proportions=${proportions} " : '') + (names ? "--domain-names=${names}" : '')
    """
    # ${task.ext.sources}
    check_slice.py --sample=${meta.id} --threads=${task.cpus} --status=${meta.id}.check_slice.status.json \\
        --data=${data} ${reading} --n-domains=${n_domains} ${truth} ${known} ${task.ext.args ?: ''} ${task.ext.args2 ?: ''}
    """

    stub:
    """
    echo '{"kind": "stub", "n_spots": 0, "n_genes": 0, "n_counts": 16777216, "notes": []}' > check.json
    ${Stub.note(meta.id, 'check_slice')}
    """
}
