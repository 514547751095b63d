process DECONVOLVE {
    tag "${meta.id}"
    label 'process_medium'
    label 'process_gpu'
    container 'spotfuse/cuda:0.1.0'
    ext sources: Sources.digest('deconvolve'), n_counts: { meta.n_counts }

    input:
    tuple val(meta), path(prepared), path(reference)

    output:
    tuple val(meta), path('{proportions*.tsv,cell_map.h5ad,deconvolution.json,deconvolution_fit.tsv,*.status.json}')    , emit: parts
    path 'versions.yml'                                                                                            , emit: versions

    script:
    """
    # ${task.ext.sources}
    deconvolve.py --sample=${meta.id} --threads=${task.cpus} --status=${meta.id}.deconvolve.status.json \\
        --prepared=${prepared} --reference=${reference} ${task.ext.args ?: ''}
    """

    stub:
    """
    touch proportions.tsv proportions_sd.tsv cell_map.h5ad deconvolution.json deconvolution_fit.tsv
    ${Stub.notes(meta.id, 'deconvolve')}
    """
}
