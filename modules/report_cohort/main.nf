process REPORT_COHORT {
    label 'process_single'
    ext sources: Sources.digest('report_cohort')

    input:
    val rows
    val parameters
    path slices, stageAs: 'slices/*'
    path tables, stageAs: 'tables/*'
    val notes

    output:
    path 'cohort/*'      , emit: results
    stdout                 emit: table
    path '*.status.json' , emit: status

    script:
    """
    # ${task.ext.sources}
    cat > sheet.json <<'JSON'
    ${rows}
    JSON
    cat > notes.json <<'JSON'
    ${notes}
    JSON
    cat > params.json <<'JSON'
    ${parameters}
    JSON
    report_cohort.py --sample=cohort --threads=${task.cpus} --status=cohort.report_cohort.status.json \\
        --sheet=sheet.json --slices ${slices} --tables ${tables} --notes=notes.json --params=params.json \\
        ${task.ext.args ?: ''} ${task.ext.args2 ?: ''}
    """

    stub:
    """
    mkdir cohort
    touch cohort/metrics.tsv cohort/report.html
    tee cohort/failures.tsv <<'TSV'
    ${Stub.failures(notes)}
    TSV
    ${Stub.note('cohort', 'report_cohort')}
    """
}
