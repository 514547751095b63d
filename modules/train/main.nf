process TRAIN {
    tag "${meta.id}"
    label 'process_medium'
    label 'process_gpu'
    ext sources: Sources.digest('train'), n_counts: { meta.n_counts }

    input:
    tuple val(meta), path(prepared)

    output:
    tuple val(meta), path('embedding.npz')                          , emit: embedding, optional: true
    tuple val(meta), path('{embedding.npz,loss.tsv,*.status.json}') , emit: parts

    script:
    def shared = meta.slices ? "--shared-by=${meta.slices.size()}" : ''
    """
    # ${task.ext.sources}
    train.py --sample=${meta.id} --threads=${task.cpus} --status=${meta.id}.train.status.json \\
        ${shared} --prepared=${prepared} ${task.ext.args ?: ''} ${task.ext.args2 ?: ''}
    """

    stub:
    """
    touch embedding.npz loss.tsv
    ${Stub.note(meta.id, 'train')}
    """
}
