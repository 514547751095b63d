process PREPARE_SLICE {
    tag "${meta.id}"
    label 'process_low'
    ext sources: Sources.digest('prepare_slice'), n_counts: { meta.n_counts }

    input:
    tuple val(meta), path(data, stageAs: 'data/*'), val(digest), val(reading)

    output:
    tuple val(meta), path('prepared.h5ad')                        , emit: prepared, optional: true
    tuple val(meta), path('{prepared.h5ad,qc.tsv,*.status.json}') , emit: parts

    script:
    """
    # ${task.ext.sources}
    prepare_slice.py --sample=${meta.id} --threads=${task.cpus} --status=${meta.id}.prepare_slice.status.json \\
        --data=${data} ${reading} ${task.ext.args ?: ''} ${task.ext.args2 ?: ''}
    """

    stub:
    """
    touch prepared.h5ad qc.tsv
    ${Stub.note(meta.id, 'prepare_slice')}
    """
}
