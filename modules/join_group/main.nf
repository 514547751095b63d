// slices of one group become one, which the next steps take for a slice; z: where each lies along the third axis, or nulls
process JOIN_GROUP {
    tag "${meta.id}"
    label 'process_low'
    ext sources: Sources.digest('join_group'), n_counts: { meta.n_counts }

    input:
    tuple val(meta), path(prepared, stageAs: 'slices/?/*'), val(z)

    output:
    tuple val(meta), path('prepared.h5ad')        , emit: prepared, optional: true
    tuple val(meta), path('*.status.json')        , emit: parts
    path "cohort/groups/${meta.id}.alignment.tsv" , emit: alignment, optional: true

    script:
    """
    # ${task.ext.sources}
    join_group.py --sample=${meta.id} --threads=${task.cpus} --status=${meta.id}.join_group.status.json \\
        --shared-by=${meta.slices.size()} --slices ${meta.slices*.id.join(' ')} --prepared ${prepared} \\
        ${z.any() ? "--z ${z.join(' ')}" : ''} ${task.ext.args ?: ''} ${task.ext.args2 ?: ''}
    """

    stub:
    """
    mkdir -p cohort/groups
    touch prepared.h5ad cohort/groups/${meta.id}.alignment.tsv
    ${Stub.note(meta.id, 'join_group')}
    """
}
