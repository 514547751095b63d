process COLLECT_SLICE {
    tag "${meta.id}"
    label 'process_low'
    ext sources: Sources.digest('collect_slice'), n_counts: { meta.n_counts }

    input:
    tuple val(meta), path(parts, stageAs: '_parts/*'), val(row), path(data, stageAs: '_data/*'), val(digest), val(reading), path(annotation, stageAs: '_annotation/*'), val(column), path(proportions, stageAs: '_proportions/*'), path(names, stageAs: '_names/*')
    val parameters

    output:
    tuple val(meta), path("_slice/${meta.id}") , emit: slice, optional: true
    path "${meta.id}/*"                        , emit: results, optional: true
    tuple val(meta), path('*.status.json')     , emit: status

    script:
    def source = data ? "--data=${data} ${reading}" : ''
    def truth = annotation || column ? "--annotation=${annotation ?: Shell.quote(column)}" : ''
    def known = (proportions ? "--proportions=${proportions} " : '') + (names ? "--domain-names=${names}" : '')
    def image = workflow.containerEngine ? "--image=${Shell.quote(task.container)}" : ''
    """
    # ${task.ext.sources}
    cat > _meta.json <<'JSON'
    ${row}
    JSON
    cat > _params.json <<'JSON'
    ${parameters}
    JSON
    collect_slice.py --sample=${meta.id} --threads=${task.cpus} --status=${meta.id}.collect_slice.status.json \\
        --parts=_parts --meta=_meta.json --params=_params.json ${source} ${truth} ${known} ${image} ${task.ext.args ?: ''} ${task.ext.args2 ?: ''}
    # the folder is for the reports, its files are published one by one: as a folder they would be in the report's way
    [ ! -d ${meta.id} ] || { mkdir _slice && cp -rl ${meta.id} _slice/ 2>/dev/null || cp -r ${meta.id} _slice/ ; } # no links on some file systems
    """

    stub:
    """
    mkdir ${meta.id}
    find _parts -name '*.tsv' -exec cp {} ${meta.id} ';'
    touch ${meta.id}/${meta.id}.h5ad ${meta.id}/{metrics.json,markers.tsv,spatial_genes.tsv,domain_counts.tsv}
    mkdir _slice
    cp -r ${meta.id} _slice/
    ${Stub.note(meta.id, 'collect_slice')}
    """
}
