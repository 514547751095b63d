process ASSIGN_DOMAINS {
    tag "${meta.id}"
    label 'process_low'
    ext sources: Sources.digest('assign_domains'), n_counts: { meta.n_counts }

    input:
    tuple val(meta), path(prepared), path(embedding), val(n_domains), val(domains_from), path(proportions)

    output:
    tuple val(meta), path('domains.tsv')                                           , emit: domains, optional: true
    tuple val(meta), path('{domains.tsv,domains.npz,n_domains.tsv,*.status.json}') , emit: parts

    script:
    def composed = proportions ? "--domains-from=${domains_from} --proportions=${proportions}" : ''
    def shared = meta.slices ? "--shared-by=${meta.slices.size()}" : ''
    """
    # ${task.ext.sources}
    assign_domains.py --sample=${meta.id} --threads=${task.cpus} --status=${meta.id}.assign_domains.status.json \\
        ${shared} --prepared=${prepared} --embedding=${embedding} --n-domains=${n_domains} ${composed} \\
        ${task.ext.args ?: ''} ${task.ext.args2 ?: ''}
    """

    stub:
    """
    touch domains.tsv domains.npz n_domains.tsv
    ${Stub.note(meta.id, 'assign_domains')}
    """
}
