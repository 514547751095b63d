#!/usr/bin/env nextflow

include { CHECK_SLICE       } from './modules/check_slice'
include { PREPARE_SLICE     } from './modules/prepare_slice'
include { TRAIN             } from './modules/train'
include { ASSIGN_DOMAINS    } from './modules/assign_domains'
include { PREPARE_REFERENCE } from './modules/prepare_reference'
include { DECONVOLVE        } from './modules/deconvolve'
include { FIND_MARKERS      } from './modules/find_markers'
include { EVALUATE          } from './modules/evaluate'
include { COLLECT_SLICE     } from './modules/collect_slice'
include { REPORT_SLICE      } from './modules/report_slice'
include { REPORT_COHORT     } from './modules/report_cohort'

workflow {
    workflow.onComplete = { finish() }
    if (params.help) {
        println(Run.help(params, projectDir, workflow.manifest.version))
    } else if (params.version) {
        println("spotfuse ${workflow.manifest.version}")
    } else {
        SPOTFUSE(Run.begin(params, projectDir))
    }
}

workflow SPOTFUSE {
    take:
    sheet // checked: sheet.slices is a list of maps

    main:
    def slice = sheet.slices.collectEntries { row -> [row.id, row] }
    def uses_reference = { meta -> slice[meta.id].reference as boolean }
    def has_truth = { meta -> slice[meta.id].annotation || slice[meta.id].column || slice[meta.id].proportions && uses_reference(meta) }

    // steps of one slice: [[id: 'A'], file, …]
    CHECK_SLICE(channel.fromList(sheet.slices).map { row -> [[id: row.id], row.data, row.platform, row.n_domains, row.annotation, row.column, row.proportions] })
    PREPARE_SLICE(CHECK_SLICE.out.check.map { meta, _check -> [meta, slice[meta.id].data, slice[meta.id].platform] })
    TRAIN(PREPARE_SLICE.out.prepared)
    ASSIGN_DOMAINS(PREPARE_SLICE.out.prepared.join(TRAIN.out.embedding).map { meta, prepared, embedding -> [meta, prepared, embedding, slice[meta.id].n_domains] })
    FIND_MARKERS(PREPARE_SLICE.out.prepared.join(ASSIGN_DOMAINS.out.domains))

    // a reference is prepared once for all its slices: [[id: 'atlas.h5ad', path: …, cell_type_key: …], file]
    PREPARE_REFERENCE(channel.fromList(sheet.slices*.reference.findAll().unique()).map { reference -> [reference, file(reference.path)] })
    DECONVOLVE(
        PREPARE_SLICE.out.prepared
            .filter { meta, _prepared -> uses_reference(meta) }
            .map { meta, prepared -> [slice[meta.id].reference, meta, prepared] }
            .combine(PREPARE_REFERENCE.out.reference, by: 0)
            .map { _reference, meta, prepared, reference -> [meta, prepared, reference] }
    )
    // its note goes to each of them: [[id: 'A'], A.prepare_reference.status.json]
    reference_notes = PREPARE_REFERENCE.out.status.flatMap { reference, note ->
        sheet.slices.findAll { row -> row.reference == reference }.collect { row -> [[id: row.id], Run.noteFor(row.id, note, workflow.workDir)] }
    }

    // all that is to be scored, in one go: [[id: 'A'], [qc.tsv, domains.tsv, proportions.tsv, …]]
    scorable = gather(
        PREPARE_SLICE.out.parts.mix(ASSIGN_DOMAINS.out.parts, DECONVOLVE.out.parts).filter { meta, _parts -> has_truth(meta) },
        { meta -> uses_reference(meta) ? 3 : 2 }
    )
    EVALUATE(
        scorable
            .map { meta, parts -> [meta, parts.findAll { part -> part.name in ['qc.tsv', 'domains.tsv', 'proportions.tsv'] }] }
            .filter { _meta, parts -> parts.size() > 1 }
            .map { meta, parts -> [meta, parts, slice[meta.id].data, slice[meta.id].annotation, slice[meta.id].column, slice[meta.id].proportions] }
    )

    // a slice's folder from whatever its steps made, complete or not
    parts = CHECK_SLICE.out.parts.mix(
        PREPARE_SLICE.out.parts, TRAIN.out.parts, ASSIGN_DOMAINS.out.parts, FIND_MARKERS.out.parts,
        reference_notes, DECONVOLVE.out.parts, EVALUATE.out.parts
    )
    COLLECT_SLICE(
        gather(parts, { meta -> 5 + (uses_reference(meta) ? 2 : 0) + (has_truth(meta) ? 1 : 0) })
            .filter { _meta, made -> made.any { part -> part.name == 'prepared.h5ad' } }
            .map { meta, made -> [meta, made, Run.toJson(slice[meta.id].given)] },
        Run.scientific(params, projectDir)
    )
    REPORT_SLICE(COLLECT_SLICE.out.slice)

    notes = parts.flatMap { _meta, made -> made }.mix(COLLECT_SLICE.out.status, REPORT_SLICE.out.status)
    REPORT_COHORT(
        sheet.toJson(),
        Run.scientific(params, projectDir),
        COLLECT_SLICE.out.slice.map { _meta, folder -> folder }.toSortedList { a, b -> a.name <=> b.name },
        notes.filter { note -> note.name.endsWith('.status.json') }.toSortedList { a, b -> a.name <=> b.name }
    )

    versions = CHECK_SLICE.out.versions.mix(
        PREPARE_SLICE.out.versions, TRAIN.out.versions, ASSIGN_DOMAINS.out.versions, PREPARE_REFERENCE.out.versions,
        DECONVOLVE.out.versions, FIND_MARKERS.out.versions, EVALUATE.out.versions, COLLECT_SLICE.out.versions,
        REPORT_SLICE.out.versions, REPORT_COHORT.out.versions
    )
    versions
        .map { file -> file.text }
        .mix(channel.of("workflow:\n    spotfuse: ${workflow.manifest.version}\n    nextflow: ${workflow.nextflow.version}\n".toString()))
        .unique()
        .collectFile(name: 'software_versions.yml', storeDir: "${params.outdir}/pipeline_info", sort: true)
    REPORT_COHORT.out.table.view { table -> table }
}

// [meta, file or files] of several steps → [meta, all files]: a slice goes on as soon as `expected` steps have
// given theirs, and one that lost a step does when no more can come
def gather(parts, expected) {
    parts
        .map { meta, files -> [groupKey(meta, expected(meta)), files] }
        .groupTuple(remainder: true)
        .map { key, files -> [key.groupTarget, files.flatten().sort { file -> file.name }] }
}

def finish() {
    Run.end(params, workflow)
}
