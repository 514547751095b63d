// once for all slices that share a reference and its column of labels
process PREPARE_REFERENCE {
    tag "${meta.id}"
    label 'process_low'
    ext sources: Sources.digest('prepare_reference')

    input:
    tuple val(meta), path(data, stageAs: 'data/*'), path(labels, stageAs: 'labels/*'), path(types, stageAs: 'types/*')

    output:
    tuple val(meta), path('reference.h5ad') , emit: reference, optional: true
    tuple val(meta), path('*.status.json')  , emit: status

    script:
    def named = types ? "--cell-type-names=${types}" : ''
    """
    # ${task.ext.sources}
    prepare_reference.py --sample=${Shell.quote(meta.id)} --threads=${task.cpus} --status=reference.prepare_reference.status.json \\
        --reference=${data} --cell-type-key=${labels ?: Shell.quote(meta.cell_type_key)} ${named} ${task.ext.args ?: ''} ${task.ext.args2 ?: ''}
    """

    stub:
    """
    touch reference.h5ad
    ${Stub.note('reference', 'prepare_reference')}
    """
}
