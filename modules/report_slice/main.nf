process REPORT_SLICE {
    tag "${meta.id}"
    label 'process_single'
    container "${params.container_registry}spotfuse/core:${workflow.manifest.version}"
    ext sources: Sources.digest(projectDir, 'report_slice')

    input:
    tuple val(meta), path(slice)

    output:
    path 'report.html'      , emit: report, optional: true
    path '*.status.json'    , emit: status
    path 'versions.yml'     , emit: versions

    script:
    """
    # ${task.ext.sources}
    report_slice.py --sample ${meta.id} --threads ${task.cpus} --status ${meta.id}.report_slice.status.json \\
        --slice ${slice} ${task.ext.args ?: ''}
    """

    stub:
    """
    touch report.html
    ${Stub.notes(meta.id, 'report_slice')}
    """
}
