process DECONVOLVE {
    tag "${meta.id}"
    label 'process_medium'
    label 'process_gpu'
    ext sources: Sources.digest('deconvolve'), n_counts: { meta.n_counts }

    input:
    tuple val(meta), path(prepared), path(reference)

    output:
    tuple val(meta), path('proportions.tsv'), emit: proportions, optional: true
    tuple val(meta), path('{proportions*.tsv,cell_types.tsv,cell_map.h5ad,deconvolution.json,deconvolution_fit.tsv,*.status.json}'), emit: parts

    script:
    """
    # ${task.ext.sources}
    deconvolve.py --sample=${meta.id} --threads=${task.cpus} --status=${meta.id}.deconvolve.status.json \\
        --prepared=${prepared} --reference=${reference} ${task.ext.args ?: ''} ${task.ext.args2 ?: ''}
    """

    stub:
    """
    touch proportions.tsv proportions_sd.tsv cell_map.h5ad deconvolution.json deconvolution_fit.tsv
    ${Stub.note(meta.id, 'deconvolve')}
    """
}
