import java.nio.file.Files
import java.nio.file.Path
import java.util.regex.Matcher

/** A sample sheet (CSV, TSV, YAML or JSON), checked against assets/schema_input.json; or one slice without a sheet. */
class Sheet {

    final List<String> problems = []
    /** Per slice: what its steps need (paths resolved against the sheet's folder), and `given`, the row as JSON. */
    final List<Map> slices = []

    /** Columns that say how a slice is read; all commands that read one have an option for each. */
    private static final READING = ['platform', 'section', 'layer', 'spatial_key', 'symbol_column']

    private final Path file
    private final Map<String, Map> rules
    private final List<String> required
    private final boolean isTable
    private String content

    Sheet(Path file, Path schema) {
        this.file = file
        def items = Schema.read(schema).items
        rules = items.properties
        required = items.required
        def kind = file.name.toLowerCase().replaceAll(/.*\./, '')
        isTable = kind in ['csv', 'tsv', 'txt']
        if (Files.isDirectory(file) || file.name.toLowerCase() ==~ /.*\.(h5ad|h5|hdf5|gem|gem\.gz|(csv|tsv|txt)\.gz)/) {
            slices << slice([sample: nameOf(file), data: file.toAbsolutePath().toUriString()])
            return
        }
        if (!isTable && !(kind in ['yaml', 'yml', 'json'])) {
            problems << "${file.name}: the name must end in .csv, .tsv, .yaml, .yml or .json, so that its format is known; or give one slice's .h5ad, .h5 or folder".toString()
            return
        }
        try {
            content = new String(Files.readAllBytes(file), 'UTF-8').replaceFirst('^\uFEFF', '').replaceAll('\r\n?', '\n')
            def rows = content =~ /[\x00\uFFFD]/ ? [] : isTable ? readTable(kind) : readList(kind)
            if (content =~ /[\x00\uFFFD]/) {
                complain('is not text in UTF-8; save it as "CSV UTF-8"')
            } else if (Environment.unnameable(content)) {
                complain(Environment.unnameable(content))
            } else if (!problems) {
                check(rows)
            }
        } catch (Exception | StackOverflowError error) {
            // parsers of YAML and JSON tell the line in their own words
            def said = error.message?.readLines()?.take(2)?.join(' ')?.take(300) ?: 'it is nested too deeply'
            problems << "${file.name}: cannot be read: ${said}".toString()
        }
    }

    private void check(List<Map> rows) {
        if (!rows) {
            complain("has no slices; give each slice a ${isTable ? 'row' : 'map'}")
            return
        }
        def columns = rows.collectMany { row -> row.cells.keySet() } as LinkedHashSet
        (required - columns).each { name -> complain("has no column '${name}'; it holds ${rules[name].description}") }
        columns.findAll { name -> !rules[name] }.each { name ->
            def near = Schema.nearest(name, rules.keySet() - columns)
            if (near) {
                complain("column '${name}' is not known; did you mean '${near}'? (any other name is kept as metadata)")
            }
        }
        def first = [:]
        rows.each { row ->
            def cells = row.cells.findAll { _name, value -> value != null && value != '' }
            def where = "${row.place}${cells.sample == null ? '' : " (${Schema.brief(cells.sample)})"}"
            required.findAll { name -> name in columns && cells[name] == null }.each { name ->
                complain("${where}, column ${name}: is empty; it holds ${rules[name].description}")
            }
            cells.each { name, value ->
                if (value instanceof Map || value instanceof List) {
                    complain("${where}, column ${name}: must be one value, not a list or map")
                } else if (rules[name]) {
                    def said = Schema.complaint(rules[name], value)
                    if (!said && isPath(name, value)) {
                        said = Schema.missing(rules[name], resolve(value))
                        said = !said ? null
                            : value.toString() =~ /[*?\[\]{}]/ ? "is '${value}', but patterns are not searched; give each slice a row with its own path (`spotfuse make-sheet FOLDER` writes them)"
                            : "${said}${value.toString().contains('://') ? '' : " (paths are relative to the sheet's folder)"}"
                    }
                    if (said) {
                        complain("${where}, column ${name}: ${said}")
                    }
                }
            }
            if (cells.sample != null) {
                def key = cells.sample.toString().toLowerCase()
                if (first[key]) {
                    complain("${where}, column sample: the name is taken by ${first[key]}; names must differ in more than case")
                } else {
                    first[key] = row.place
                }
            }
            slices << slice(cells)
        }
        slices*.group.findAll().unique().groupBy { group -> group.toLowerCase() }.values().findAll { names -> names.size() > 1 }.each { names ->
            complain("column group: ${names.join(' and ')} differ in nothing but case; give a group one name")
        }
        slices.findAll { row -> row.group }.groupBy { row -> row.group }.each { group, together -> join(group, together) }
    }

    /** Know what is divided into domains, as `otherwise` says where a row does not; null: expression, which asks for nothing. */
    void divide(String otherwise) {
        slices.each { row ->
            def from = row.given.domains_from ?: otherwise
            row.given.domains_from = from == 'expression' ? null : from
        }
        def composed = slices.findAll { row -> row.given.domains_from }
        def bare = composed.findAll { row -> !row.reference }
        if (bare) {
            complain("domains_from ${bare*.given.domains_from.unique().join(', ')}: no reference for ${bare*.id.join(', ')}, whose cell types it would tell; give one, or take expression")
        }
        composed.findAll { row -> row.group }*.group.unique().each { group ->
            complain("domains_from ${composed.find { row -> row.group == group }.given.domains_from}: slices of group ${group} are learned together, which is by their expression; take expression, or leave their group empty")
        }
    }

    /** Slices of a group have one number of domains; rows without one take the others'. All have a z, or none. */
    private void join(String group, List<Map> together) {
        def flat = together.findAll { row -> row.flat }
        if (flat && flat.size() < together.size()) {
            complain("column z: group ${group} has none for ${flat*.id.join(', ')}; give each of its slices one, or none of them")
        }
        def numbers = together.findAll { row -> row.asked }.groupBy { row -> row.n_domains }
        if (numbers.size() > 1) {
            def said = numbers.collect { number, rows -> "${number} for ${rows*.id.join(', ')}" }.join(', ')
            complain("column n_domains: group ${group} has ${said}; slices of a group are learned together: give them one number")
        }
        together.each { row ->
            row.group = together.size() > 1 ? group : null
            row.n_slices = together.size()
            row.n_domains = numbers ? numbers.keySet()[0] : 'auto'
            row.given.n_domains = row.n_domains.isInteger() ? row.n_domains.toInteger() : row.n_domains
        }
    }

    private Map slice(Map cells) {
        def reference = cells.reference == null ? null : resolve(cells.reference)
        def key = reference ? cells.cell_type_key ?: rules.cell_type_key.default : null
        def labels = key && isPath('cell_type_key', key) ? resolve(key).toUriString() : null
        def types = reference && cells.cell_type_names != null ? resolve(cells.cell_type_names).toUriString() : null
        def annotated = cells.annotation != null
        def n_domains = cells.n_domains?.toString() ?: 'auto'
        def z = cells.z?.toString()?.isBigDecimal() ? cells.z as double : null
        def given = [
            sample: cells.sample?.toString(), data: cells.data, group: cells.group?.toString(),
            n_domains: n_domains.isInteger() ? n_domains.toInteger() : n_domains, domains_from: cells.domains_from,
            reference: cells.reference, cell_type_key: key, annotation: cells.annotation,
            proportions: cells.proportions, domain_names: cells.domain_names, platform: cells.platform ?: 'auto',
            cell_type_names: cells.cell_type_names,
            section: cells.section, layer: cells.layer, spatial_key: cells.spatial_key, symbol_column: cells.symbol_column,
        ] + cells.findAll { name, _value -> !rules[name] } + (z == null ? [:] : [z: z])
        [
            id: given.sample,
            group: given.group,
            data: resolve(cells.data ?: '.'),
            reading: READING.findAll { name -> given[name] != null }.collect { name -> "--${name.replace('_', '-')}=${Shell.quote(given[name])}" }.join(' '),
            z: z == null ? null : String.format(Locale.ROOT, '%.9f', z),
            flat: cells.z == null,
            n_domains: n_domains,
            asked: cells.n_domains != null,
            reference: reference ? [id: reference.name, path: reference.toUriString(), cell_type_key: key, labels: labels, types: types] : null,
            annotation: annotated && isPath('annotation', cells.annotation) ? resolve(cells.annotation) : [],
            column: annotated && !isPath('annotation', cells.annotation) ? cells.annotation.toString() : '',
            proportions: cells.proportions == null ? [] : resolve(cells.proportions),
            names: cells.domain_names == null ? [] : resolve(cells.domain_names),
            given: given,
        ]
    }

    private void complain(String problem) {
        def line = problem.readLines()*.trim().join(' ') // names and cells may hold line ends
        problems << "${file.name}${line.startsWith('row') || line.startsWith('entry') ? ', ' : ': '}${line}".toString()
    }

    /** Without blanks around it, those that spreadsheets and web pages bring along included. */
    private static String trimmed(Object text) {
        text.toString().replaceAll(/^[\s\p{Z}]+|[\s\p{Z}]+$/, '')
    }

    /** A name for a slice, from that of its file or folder. */
    private String nameOf(Path path) {
        def place = path.toAbsolutePath().normalize()
        place = place.fileName?.toString() == 'outs' ? place.parent : place
        def name = place.fileName?.toString() ?: ''
        name = Files.isDirectory(place) ? name.replaceAll(/(?i)\.zarr$/, '') : name.replaceAll(/\..*/, '')
        name = name.replaceAll(/[^A-Za-z0-9._-]+/, '_').replaceAll(/^[._-]+/, '')
        Schema.complaint(rules.sample, name) ? 'slice' : name
    }

    private Path resolve(Object value) {
        def text = value.toString().replaceFirst('^~(?=/|$)', Matcher.quoteReplacement(System.getenv('HOME') ?: '~'))
        text.contains('://') ? nextflow.file.FileHelper.asPath(text) : file.toAbsolutePath().parent.resolve(text).normalize()
    }

    /** Labels are a file when they look like a table's name, else a column. */
    private boolean isPath(String name, Object value) {
        rules[name].format && (!(name in ['annotation', 'cell_type_key']) || value.toString().toLowerCase() ==~ /.*\.(tsv|csv|txt)(\.gz)?/)
    }

    private List<Map> readList(String kind) {
        def list = kind == 'json' ? new groovy.json.JsonSlurper().parseText(content) : new groovy.yaml.YamlSlurper().parseText(content)
        if (!(list instanceof List) || !list.every { row -> row instanceof Map }) {
            complain('must be a list of maps, one for each slice')
            return []
        }
        list.withIndex().collect { row, i ->
            [place: "entry ${i + 1}".toString(), cells: row.collectEntries { name, value ->
                [trimmed(name), value instanceof CharSequence ? trimmed(value) : value]
            }]
        }
    }

    private List<Map> readTable(String kind) {
        def text = content
        def head = text.readLines().find { line -> line.trim() } ?: ''
        def separator = kind != 'csv' && head.contains('\t') ? '\t' : !head.contains(',') && head.contains(';') ? ';' : kind == 'tsv' ? '\t' : ','
        def lines = cells(text, separator)
        if (!lines) {
            return []
        }
        def names = lines.head().cells
        while (names && !names[-1]) {
            names.removeLast()
        }
        names.withIndex().each { name, i ->
            if (!name) {
                complain("column ${i + 1} has no name; name it or remove it")
            } else if (names.indexOf(name) < i) {
                complain("column '${name}' is there twice; remove one")
            }
        }
        lines.tail().collect { line ->
            def extra = line.cells.drop(names.size()).findAll()
            if (extra) {
                complain("row ${line.row}: has more cells than the header names (${extra.join(', ')}); quote cells that contain '${separator}'")
            }
            [place: "row ${line.row}".toString(), cells: names.withIndex().collectEntries { name, i -> [name, line.cells[i] ?: ''] }]
        }
    }

    /** Lines of cells as RFC 4180 has them, with the number of each row as a spreadsheet shows it; blank lines skipped. */
    private List<Map> cells(String text, String separator) {
        def lines = []
        def row = []
        def cell = new StringBuilder()
        def quoted = false
        def number = 1
        def endRow = {
            row << trimmed(cell)
            if (row.any()) {
                lines << [row: number, cells: row]
            }
            number += 1
            row = []
            cell.length = 0
        }
        def i = 0
        while (i < text.length()) {
            def c = text[i]
            if (quoted) {
                if (c == '"' && i + 1 < text.length() && text[i + 1] == '"') {
                    cell << '"'
                    i += 1
                } else if (c == '"') {
                    quoted = false
                } else {
                    cell << c
                }
            } else if (c == '"' && !trimmed(cell)) {
                quoted = true
                cell.length = 0
            } else if (c == separator) {
                row << trimmed(cell)
                cell.length = 0
            } else if (c == '\n') {
                endRow()
            } else {
                cell << c
            }
            i += 1
        }
        if (quoted) {
            complain("row ${number}: a quote is opened and never closed")
        }
        endRow()
        lines
    }

}
