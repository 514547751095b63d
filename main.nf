#!/usr/bin/env nextflow

include { CHECK_SLICE       } from './modules/check_slice'
include { PREPARE_SLICE     } from './modules/prepare_slice'
include { JOIN_GROUP        } from './modules/join_group'
include { TRAIN             } from './modules/train'
include { ASSIGN_DOMAINS    } from './modules/assign_domains'
include { SPLIT_GROUP       } from './modules/split_group'
include { PREPARE_REFERENCE } from './modules/prepare_reference'
include { DECONVOLVE        } from './modules/deconvolve'
include { FIND_MARKERS      } from './modules/find_markers'
include { EVALUATE          } from './modules/evaluate'
include { COLLECT_SLICE     } from './modules/collect_slice'
include { REPORT_SLICE      } from './modules/report_slice'
include { COMPARE_SLICES    } from './modules/compare_slices'
include { REPORT_COHORT     } from './modules/report_cohort'

workflow {
    def run = new Run(params, workflow)
    if (params.help) {
        println(run.help())
    } else if (params.version) {
        println("spotfuse ${workflow.manifest.version}")
    } else {
        SPOTFUSE(run.check(), run.settings())
        SPOTFUSE.out.table.view { table -> table }
        SPOTFUSE.out.published.subscribe { files -> run.publishes(files) }
        SPOTFUSE.out.ended.subscribe { versions -> run.ended(versions) }
        SPOTFUSE.out.versions.collectFile(name: 'software_versions.yml', storeDir: "${params.outdir}/pipeline_info")
        workflow.onComplete = { run.finish() }
    }
}

// sheet: what each slice needs, by its name; settings: the parameters that decide results, as JSON
workflow SPOTFUSE {
    take:
    sheet
    settings

    main:
    // steps of one slice, e.g. [[id: 'A'], prepared.h5ad]
    CHECK_SLICE(
        channel.fromList(sheet.collect { id, row -> [[id: id], row.data, row.digest, row.reading, row.n_domains, row.annotation, row.column, row.proportions] })
    )
    // from here on with the slice's size, which says what memory to ask for, e.g. [[id: 'A', n_counts: 2396581], ...]
    PREPARE_SLICE(CHECK_SLICE.out.check.map { meta, check -> [meta + Run.sizeOf(check), sheet[meta.id].data, sheet[meta.id].digest, sheet[meta.id].reading] })
    prepared = PREPARE_SLICE.out.prepared
    LEARN(prepared, sheet)
    FIND_MARKERS(prepared.join(LEARN.out.domains))

    // a reference is prepared once for all its slices, e.g. [[id: 'atlas.h5ad', path: ..., digest: ..., cell_type_key: ...], reference.h5ad],
    // and its note goes to each of them, e.g. [[id: 'A'], A.prepare_reference.status.json]
    references = sheet.values().findAll { row -> row.reference }.groupBy { row -> row.reference }
    PREPARE_REFERENCE(channel.fromList(references.keySet().collect { reference -> [reference, file(reference.path, glob: false), reference.labels ? file(reference.labels, glob: false) : []] }))
    DECONVOLVE(
        prepared
            .map { meta, h5ad -> [sheet[meta.id].reference, meta, h5ad] }
            .combine(PREPARE_REFERENCE.out.reference, by: 0)
            .map { _reference, meta, h5ad, reference -> [meta, h5ad, reference] }
    )
    reference_notes = PREPARE_REFERENCE.out.status.flatMap { reference, note ->
        references[reference].collect { row -> [[id: row.id], Run.noteFor(row.id, note, 1, workflow.workDir)] }
    }

    // what can be scored of a slice whose truth is known, in one go, e.g. [[id: 'A'], [domains.tsv, proportions.tsv, qc.tsv]]
    scorable = gather(
        PREPARE_SLICE.out.parts.mix(LEARN.out.domains, DECONVOLVE.out.parts).filter { meta, _files -> sheet[meta.id].has_truth },
        sheet.collectEntries { id, row -> [id, row.reference ? 3 : 2] }
    )
    EVALUATE(
        scorable
            .map { meta, files -> [meta, files.findAll { file -> file.name in ['qc.tsv', 'domains.tsv', 'proportions.tsv'] }] }
            .filter { _meta, files -> files.size() > 1 }
            .map { meta, files -> [meta, files, sheet[meta.id].data, sheet[meta.id].digest, sheet[meta.id].reading, sheet[meta.id].annotation, sheet[meta.id].column, sheet[meta.id].proportions] }
    )

    // a slice's folder from whatever its steps made
    parts = CHECK_SLICE.out.parts.mix(
        PREPARE_SLICE.out.parts, LEARN.out.parts, FIND_MARKERS.out.parts,
        reference_notes, DECONVOLVE.out.parts, EVALUATE.out.parts
    )
    collected = gather(parts, sheet.collectEntries { id, row -> [id, 5 + (row.group ? 2 : 0) + (row.reference ? 2 : 0) + (row.has_truth ? 1 : 0)] })
        .filter { _meta, files -> files.any { file -> file.name == 'prepared.h5ad' } }
        .map { meta, files -> [meta, files, Run.toJson(sheet[meta.id].given), sheet[meta.id].annotation, sheet[meta.id].column] }
    COLLECT_SLICE(collected, settings)
    REPORT_SLICE(COLLECT_SLICE.out.slice)

    notes = parts.flatMap { _meta, files -> files }
        .mix(COLLECT_SLICE.out.status, REPORT_SLICE.out.status)
        .filter { file -> file.name.endsWith('.status.json') }
    notes.map { note -> Run.news(note) }.filter { line -> line }.view { line -> line }

    rows = Run.toJson(sheet.values().collect { row -> row.given })
    folders = COLLECT_SLICE.out.slice.map { _meta, folder -> folder }.toSortedList { a, b -> a.name <=> b.name }
    COMPARE_SLICES(rows, folders, LEARN.out.mixing.toSortedList { a, b -> a.name <=> b.name })
    // the report comes whether or not the comparison does
    REPORT_COHORT(
        rows,
        settings,
        folders,
        COMPARE_SLICES.out.tables.ifEmpty([]),
        notes.mix(COMPARE_SLICES.out.status).toSortedList { a, b -> a.name <=> b.name }
    )

    versions = CHECK_SLICE.out.versions.mix(
        PREPARE_SLICE.out.versions, LEARN.out.versions, FIND_MARKERS.out.versions,
        PREPARE_REFERENCE.out.versions, DECONVOLVE.out.versions, EVALUATE.out.versions, COLLECT_SLICE.out.versions,
        REPORT_SLICE.out.versions, COMPARE_SLICES.out.versions, REPORT_COHORT.out.versions
    )

    emit:
    table     = REPORT_COHORT.out.table
    published = LEARN.out.published.mix(COLLECT_SLICE.out.results, REPORT_SLICE.out.report, COMPARE_SLICES.out.tables, REPORT_COHORT.out.results)
    ended     = versions // one of each task
    versions  = versions.toList().map { files -> Run.versions(files) }
}

// domains of each slice; slices of a group are joined, learned as one, and then each gets its part
workflow LEARN {
    take:
    prepared
    sheet

    main:
    // e.g. [[id: 'donor', n_counts: 5182091, slices: [[id: 'A', ...], [id: 'B', ...]]], [prepared.h5ad, prepared.h5ad]]; where
    // all slices but one were refused, that one goes on alone
    groups = prepared
        .filter { meta, _h5ad -> sheet[meta.id].group }
        .map { meta, h5ad -> [groupKey(sheet[meta.id].group, sheet[meta.id].n_slices), [meta, h5ad]] }
        .groupTuple(remainder: true)
        .map { group, slices -> Run.groupOf(group.toString(), slices) }
        .branch { meta, _h5ads ->
            together: meta.slices.size() > 1
            alone: true
        }
    JOIN_GROUP(groups.together.map { meta, h5ads -> [meta, h5ads, meta.slices.collect { slice -> sheet[slice.id].z }] })
    learning = prepared
        .filter { meta, _h5ad -> !sheet[meta.id].group }
        .mix(groups.alone.map { meta, h5ads -> [meta.slices[0], h5ads[0]] }, JOIN_GROUP.out.prepared)
    TRAIN(learning)
    ASSIGN_DOMAINS(
        learning
            .join(TRAIN.out.embedding)
            .map { meta, h5ad, embedding -> [meta, h5ad, embedding, sheet[meta.slices ? meta.slices[0].id : meta.id].n_domains] }
    )
    SPLIT_GROUP(
        JOIN_GROUP.out.prepared
            .join(TRAIN.out.parts)
            .join(ASSIGN_DOMAINS.out.parts)
            .join(ASSIGN_DOMAINS.out.domains)
            .map { meta, h5ad, trained, assigned, _domains -> [meta, h5ad, [trained, assigned].flatten()] }
    )
    // what a group's steps noted, and what they made of a slice, is the slice's
    parts = JOIN_GROUP.out.parts
        .mix(TRAIN.out.parts, ASSIGN_DOMAINS.out.parts, SPLIT_GROUP.out.parts)
        .flatMap { meta, files -> meta.slices ? meta.slices.collect { slice -> [slice, Run.partOf(slice.id, [files].flatten(), meta.slices.size(), workflow.workDir)] } : [[meta, files]] }

    emit:
    domains   = parts.map { meta, files -> [meta, [files].flatten().find { file -> file.name == 'domains.tsv' }] }.filter { _meta, file -> file }
    parts     = parts
    mixing    = SPLIT_GROUP.out.mixing
    published = JOIN_GROUP.out.alignment.mix(SPLIT_GROUP.out.group)
    versions  = JOIN_GROUP.out.versions.mix(TRAIN.out.versions, ASSIGN_DOMAINS.out.versions, SPLIT_GROUP.out.versions)
}

// [meta, file or files] of several steps -> [meta, all files]: a slice goes on as soon as as many steps as it has have
// given theirs, and one that lost a step when no more can come, so that nothing else is lost
def gather(parts, n_steps) {
    parts
        .map { meta, files -> [groupKey(meta.id, n_steps[meta.id]), meta, files] }
        .groupTuple(remainder: true)
        .map { _id, metas, files -> [metas.max { meta -> meta.size() }, files.flatten().sort { file -> file.name }] }
}
