process COLLECT_SLICE {
    tag "${meta.id}"
    label 'process_low'
    container 'spotfuse/core:0.1.0'
    ext sources: Sources.digest('collect_slice')

    input:
    tuple val(meta), path(parts, stageAs: 'parts/*'), val(row)
    val parameters

    output:
    tuple val(meta), path("${meta.id}", type: 'dir')    , emit: slice, optional: true
    path '*.status.json'                           , emit: status
    path 'versions.yml'                            , emit: versions

    script:
    """
    # ${task.ext.sources}
    cat > meta.json <<'JSON'
    ${row}
    JSON
    cat > params.json <<'JSON'
    ${parameters}
    JSON
    collect_slice.py --sample ${meta.id} --threads ${task.cpus} --status ${meta.id}.collect_slice.status.json \\
        --parts parts --meta meta.json --params params.json ${task.ext.args ?: ''}
    """

    stub:
    """
    mkdir ${meta.id}
    find parts -name '*.tsv' -exec cp {} ${meta.id} ';'
    touch ${meta.id}/${meta.id}.h5ad ${meta.id}/metrics.json
    ${Stub.notes(meta.id, 'collect_slice')}
    """
}
