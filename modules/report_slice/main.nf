process REPORT_SLICE {
    tag "${meta.id}"
    label 'process_single'
    ext sources: Sources.digest('report_slice')

    input:
    tuple val(meta), path(slice, stageAs: '_slice/*')

    output:
    path "${meta.id}/report.html"          , emit: report, optional: true
    tuple val(meta), path('*.status.json') , emit: status

    script:
    """
    # ${task.ext.sources}
    report_slice.py --sample=${meta.id} --threads=${task.cpus} --status=${meta.id}.report_slice.status.json \\
        --slice=${slice} ${task.ext.args ?: ''} ${task.ext.args2 ?: ''}
    mkdir ${meta.id}
    [ ! -e report.html ] || mv report.html ${meta.id}/
    """

    stub:
    """
    mkdir ${meta.id}
    touch ${meta.id}/report.html
    ${Stub.note(meta.id, 'report_slice')}
    """
}
