process REPORT_COHORT {
    label 'process_single'
    container 'spotfuse/core:0.1.0'
    ext sources: Sources.digest('report_cohort')

    input:
    val rows
    val parameters
    path slices, stageAs: 'slices/*'
    path tables, stageAs: 'tables/*'
    path statuses, stageAs: 'statuses/*'

    output:
    path 'cohort/*'               , emit: results
    path 'cohort/failures.tsv'    , emit: failures
    stdout                          emit: table
    path 'versions.yml'           , emit: versions

    script:
    """
    # ${task.ext.sources}
    cat > sheet.json <<'JSON'
    ${rows}
    JSON
    cat > params.json <<'JSON'
    ${parameters}
    JSON
    report_cohort.py --sample=cohort --threads=${task.cpus} --status=cohort.report_cohort.status.json \\
        --sheet=sheet.json --slices ${slices} --tables ${tables} --statuses statuses/* --params=params.json \\
        ${task.ext.args ?: ''}
    """

    stub:
    """
    mkdir cohort
    touch cohort/metrics.tsv cohort/report.html
    printf 'sample\\tstep\\treason\\n' > cohort/failures.tsv
    ${Stub.notes('cohort', 'report_cohort')}
    """
}
