#!/usr/bin/env nextflow

include { CHECK_SLICE    } from './modules/check_slice'
include { PREPARE_SLICE  } from './modules/prepare_slice'
include { LEARN          } from './subworkflows/learn'
include { PROPORTIONS    } from './subworkflows/proportions'
include { COLLECT_SLICE  } from './modules/collect_slice'
include { REPORT_SLICE   } from './modules/report_slice'
include { COMPARE_SLICES } from './modules/compare_slices'
include { REPORT_COHORT  } from './modules/report_cohort'

workflow {
    def run = new Run(params, workflow)
    if (params.help) {
        println(run.help())
    } else if (params.version) {
        println("spotfuse ${workflow.manifest.version}")
    } else {
        SPOTFUSE(run.check(), run.settings())
        SPOTFUSE.out.table.view { table -> table }.subscribe { table -> run.closes(table) }
        SPOTFUSE.out.published.subscribe { files -> run.publishes(files) }
        SPOTFUSE.out.notes.subscribe { note -> run.ended(note) }
        workflow.onComplete = { run.finish() }
    }
}

workflow SPOTFUSE {
    take:
    sheet    // what each slice needs, by name: [A: [id: 'A', source: [A.h5ad, '9f3c', ''], n_domains: '7', ...], ...]
    settings // the parameters that decide results: '{"encoder": "spotfuse", "seed": 1, ...}'

    main:
    // a slice is known by its name, and from its check on by its size too, which says what memory its steps ask for
    slices = channel.fromList(sheet.values().toList())              // [id: 'A', source: [...], ...]
    CHECK_SLICE(slices.map { row -> [[id: row.id]] + row.checked })
    checked = CHECK_SLICE.out.check                                 // [[id: 'A'], check.json]
        .map { meta, check -> [meta + Run.sizeOf(check)] + sheet[meta.id].source }
    PREPARE_SLICE(checked)                                          // [[id: 'A', n_counts: 2396581], A.h5ad, ...]
    prepared = PREPARE_SLICE.out.prepared                           // [[id: 'A', ...], prepared.h5ad]

    PROPORTIONS(prepared, sheet)                                    // of cell types, where it has a reference
    LEARN(prepared, PROPORTIONS.out.proportions, sheet)             // domains, alone or with its group

    // what a step left of a slice, and its note of how it went: [[id: 'A', ...], [A.train.status.json, loss.tsv, ...]]
    parts = CHECK_SLICE.out.parts
        .mix(PREPARE_SLICE.out.parts, LEARN.out.parts, PROPORTIONS.out.parts)
    whole = gather(parts, 'collect_slice', sheet)                   // [[id: 'A', ...], [A.train.status.json, ...]]
        .filter { _meta, files -> files.any { file -> file.name == 'prepared.h5ad' } }
    COLLECT_SLICE(whole.map { meta, files -> [meta, files] + sheet[meta.id].known }, settings) // markers, scores, A/
    REPORT_SLICE(COLLECT_SLICE.out.slice)                           // [[id: 'A', ...], A/]

    notes = parts.mix(COLLECT_SLICE.out.status, REPORT_SLICE.out.status) // ['A', A.train.status.json]
        .map { meta, files -> [meta.id, Steps.note(files)] }
    notes.map { id, note -> Run.news(id, note) }.filter { line -> line }.view { line -> line }

    rows = Run.toJson(sheet.values()*.given)                        // '[{"sample": "A", "donor": "d1", ...}, ...]'
    folders = COLLECT_SLICE.out.slice.map { _meta, folder -> folder } // [A/, B/, ...]
        .toSortedList { a, b -> a.name <=> b.name }
    mixing = LEARN.out.mixing.toSortedList { a, b -> a.name <=> b.name } // [donor.mixing.tsv, ...]
    COMPARE_SLICES(rows, folders, mixing)
    compared = COMPARE_SLICES.out.tables.ifEmpty([])                // [composition.tsv, ...], or none if it failed
    went = notes.mix(COMPARE_SLICES.out.status.map { note -> ['cohort', note] }).toList()
        .map { all -> Run.told(all) }                               // '[{"sample": "A", "step": "train", ...}, ...]'
    REPORT_COHORT(rows, settings, folders, compared, went)

    emit:
    table     = REPORT_COHORT.out.table
    published = LEARN.out.published
        .mix(COLLECT_SLICE.out.results, REPORT_SLICE.out.report, COMPARE_SLICES.out.tables, REPORT_COHORT.out.results)
    notes     = notes.map { _id, note -> note }                     // A.train.status.json, at least one a task
        .mix(COMPARE_SLICES.out.status, REPORT_COHORT.out.status)
}

// what a step takes of each slice, once all steps that it waits for gave theirs; of a slice that lost one of them, once
// no more can come, so that nothing else is lost: [[id: 'A', n_counts: 2396581], [domains.tsv, qc.tsv, ...]]
def gather(parts, step, sheet) {
    parts
        .filter { meta, files -> Steps.runs(step, sheet[meta.id]) && Steps.takes(step, files) }
        .map { meta, files -> [groupKey(meta.id, Steps.awaited(step, sheet[meta.id])), meta, files] }
        .groupTuple(remainder: true)
        .map { _id, metas, files -> [metas.max { meta -> meta.size() }, files.flatten().sort { file -> file.name }] }
}
