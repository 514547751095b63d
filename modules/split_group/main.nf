// what a group's slices learned together, slice by slice
process SPLIT_GROUP {
    tag "${meta.id}"
    label 'process_low'
    ext sources: Sources.digest('split_group'), n_counts: { meta.n_counts }

    input:
    tuple val(meta), path(prepared), path(learned, stageAs: 'learned/*')

    output:
    tuple val(meta), path('{slices/*/*,*.status.json}') , emit: parts
    path "cohort/groups/${meta.id}.h5ad"                , emit: group, optional: true
    path "${meta.id}.mixing.tsv"                        , emit: mixing, optional: true

    script:
    """
    # ${task.ext.sources}
    split_group.py --sample=${meta.id} --threads=${task.cpus} --status=${meta.id}.split_group.status.json \\
        --shared-by=${meta.slices.size()} --prepared=${prepared} --learned=learned ${task.ext.args ?: ''} ${task.ext.args2 ?: ''}
    """

    stub:
    """
    for slice in ${meta.slices*.id.join(' ')}; do
        mkdir -p slices/\$slice
        touch slices/\$slice/{embedding.npz,loss.tsv,domains.tsv,domains.npz,n_domains.tsv,in_common.json}
    done
    mkdir -p cohort/groups
    touch cohort/groups/${meta.id}.h5ad ${meta.id}.mixing.tsv
    ${Stub.note(meta.id, 'split_group')}
    """
}
