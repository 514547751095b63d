// Cell-type proportions of each slice that has a reference. A reference is prepared once for all its slices.

include { PREPARE_REFERENCE } from '../../modules/prepare_reference'
include { DECONVOLVE        } from '../../modules/deconvolve'

workflow PROPORTIONS {
    take:
    prepared // [[id: 'A', n_counts: 2396581], prepared.h5ad]
    sheet    // [A: [id: 'A', reference: [id: 'atlas.h5ad', path: '/data/atlas.h5ad', labels: null, ...], ...], ...]

    main:
    slices = sheet.values().findAll { row -> row.reference }.groupBy { row -> row.reference }
    references = channel.fromList(slices.keySet().toList()) // [[id: 'atlas.h5ad', ...], atlas.h5ad, [], []]
        .map { meta ->
            [meta] + [meta.path, meta.labels, meta.types].collect { path -> path ? file(path, glob: false) : [] }
        }
    PREPARE_REFERENCE(references)

    asking = prepared // [[id: 'atlas.h5ad', ...], [id: 'A', ...], prepared.h5ad]
        .map { meta, h5ad -> [sheet[meta.id].reference, meta, h5ad] }
        .combine(PREPARE_REFERENCE.out.reference, by: 0)
    DECONVOLVE(asking.map { _reference, meta, h5ad, reference -> [meta, h5ad, reference] })

    // how a reference went is told of each of its slices: [[id: 'A'], reference.prepare_reference.status.json]
    notes = PREPARE_REFERENCE.out.status
        .flatMap { meta, note -> slices[meta].collect { row -> [[id: row.id], note] } }

    emit:
    parts       = notes.mix(DECONVOLVE.out.parts) // [[id: 'A', ...], [proportions.tsv, A.deconvolve.status.json, ...]]
    proportions = DECONVOLVE.out.proportions      // [[id: 'A', ...], proportions.tsv]
}
