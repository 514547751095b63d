// Domains of each slice. Slices of a group are joined, learned as one, and then each gets its part.

include { JOIN_GROUP     } from '../../modules/join_group'
include { TRAIN          } from '../../modules/train'
include { ASSIGN_DOMAINS } from '../../modules/assign_domains'
include { SPLIT_GROUP    } from '../../modules/split_group'

workflow LEARN {
    take:
    prepared    // [[id: 'A', n_counts: 2396581], prepared.h5ad]
    proportions // [[id: 'A', n_counts: 2396581], proportions.tsv]
    sheet       // [A: [id: 'A', group: 'donor', n_slices: 2, z: null, n_domains: '7', ...], ...]

    main:
    groups = prepared
        .filter { meta, _h5ad -> sheet[meta.id].group }
        .map { meta, h5ad -> [groupKey(sheet[meta.id].group, sheet[meta.id].n_slices), [meta, h5ad]] }
        .groupTuple(remainder: true)
        // [[id: 'donor', n_counts: 5182091, slices: [[id: 'A', ...], [id: 'B', ...]]], [prepared.h5ad, prepared.h5ad]]
        .map { group, slices -> Run.groupOf(group.toString(), slices) }
        .branch { meta, _h5ads ->
            together: meta.slices.size() > 1
            alone: true // all others were refused
        }
    JOIN_GROUP(groups.together.map { meta, h5ads -> [meta, h5ads, meta.slices.collect { slice -> sheet[slice.id].z }] })

    // slices and groups alike: [[id: 'C', ...], prepared.h5ad], [[id: 'donor', ..., slices: [...]], prepared.h5ad]
    learning = prepared
        .filter { meta, _h5ad -> !sheet[meta.id].group }
        .mix(groups.alone.map { meta, h5ads -> [meta.slices[0], h5ads[0]] }, JOIN_GROUP.out.prepared)
    TRAIN(learning)
    embedded = learning.join(TRAIN.out.embedding) // [[id: 'C', ...], prepared.h5ad, embedding.npz]
    divided = embedded // [[id: 'C', ...], prepared.h5ad, embedding.npz, '7', 'composition']
        .map { meta, h5ad, embedding -> [meta, h5ad, embedding, sheet[meta.slices ? meta.slices[0].id : meta.id]] }
        .map { meta, h5ad, embedding, row ->
            [meta, h5ad, embedding, row.n_domains, row.given.domains_from ?: 'expression']
        }
        .branch { meta, _h5ad, _embedding, _n_domains, _from ->
            composed: !meta.slices && Steps.needsToo('assign_domains', 'deconvolve', sheet[meta.id])
            others: true
        }
    ASSIGN_DOMAINS(divided.others.map { slice -> slice + [[]] }.mix(divided.composed.join(proportions)))

    // [[id: 'donor', ...], prepared.h5ad, [embedding.npz, ...], [domains.npz, ...], domains.tsv]
    learned = JOIN_GROUP.out.prepared
        .join(TRAIN.out.parts)
        .join(ASSIGN_DOMAINS.out.parts)
        .join(ASSIGN_DOMAINS.out.domains)
    SPLIT_GROUP(learned.map { meta, h5ad, trained, assigned, _domains -> [meta, h5ad, [trained, assigned].flatten()] })

    // what a step left of a group, slice by slice: [[id: 'A', ...], [domains.tsv, donor.split_group.status.json]]
    parts = JOIN_GROUP.out.parts
        .mix(TRAIN.out.parts, ASSIGN_DOMAINS.out.parts, SPLIT_GROUP.out.parts)
        .flatMap { meta, files ->
            meta.slices ? meta.slices.collect { slice -> [slice, Steps.partOf(slice.id, files)] } : [[meta, files]]
        }

    emit:
    parts     = parts
    mixing    = SPLIT_GROUP.out.mixing // donor.mixing.tsv
    published = JOIN_GROUP.out.alignment.mix(SPLIT_GROUP.out.group) // cohort/groups/donor.h5ad
}
