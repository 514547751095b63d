process COMPARE_SLICES {
    label 'process_single'
    ext sources: Sources.digest('compare_slices')

    input:
    val rows
    path slices, stageAs: 'slices/*'
    path mixing

    output:
    path 'cohort/*.tsv'  , emit: tables, optional: true
    path '*.status.json' , emit: status

    script:
    """
    # ${task.ext.sources}
    cat > sheet.json <<'JSON'
    ${rows}
    JSON
    compare_slices.py --sample=cohort --threads=${task.cpus} --status=cohort.compare_slices.status.json \\
        --sheet=sheet.json --slices ${slices} --mixing ${mixing} ${task.ext.args ?: ''} ${task.ext.args2 ?: ''}
    """

    stub:
    """
    mkdir cohort
    for table in matched_domains composition neighbourhoods differences markers differential_expression mixing; do
        touch cohort/\$table.tsv
    done
    ${Stub.note('cohort', 'compare_slices')}
    """
}
