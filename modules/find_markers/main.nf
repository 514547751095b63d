process FIND_MARKERS {
    tag "${meta.id}"
    label 'process_low'
    ext sources: Sources.digest('find_markers'), n_counts: { meta.n_counts }

    input:
    tuple val(meta), path(prepared), path(domains)

    output:
    tuple val(meta), path('{markers.tsv,spatial_genes.tsv,domain_counts.tsv,*.status.json}'), emit: parts

    script:
    """
    # ${task.ext.sources}
    find_markers.py --sample=${meta.id} --threads=${task.cpus} --status=${meta.id}.find_markers.status.json \\
        --prepared=${prepared} --domains=${domains} ${task.ext.args ?: ''} ${task.ext.args2 ?: ''}
    """

    stub:
    """
    touch markers.tsv spatial_genes.tsv domain_counts.tsv
    ${Stub.note(meta.id, 'find_markers')}
    """
}
