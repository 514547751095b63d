import java.nio.file.Files
import java.nio.file.Path
import java.time.temporal.ChronoUnit
import nextflow.file.FileHelper

/**
 * What this run puts into results/. A folder there (a slice's, or cohort/) has a table, pipeline_info/published/NAME.tsv,
 * by which a later run knows the files that are ours and as we left them: those go when it has no such file, and no others.
 */
class Published {

    private static final List<String> COLUMNS = ['path', 'run', 'size', 'modified', 'source']
    private static final int MOST_NAMED = 10

    private final Path outdir
    private final String run
    private final boolean linked
    /** By folder: the rows that earlier runs left, and this run's by path. */
    private final Map<String, List<Map>> earlier = new TreeMap()
    private final Map<String, Map<String, Map>> rows = new TreeMap()

    Published(Map params) {
        outdir = FileHelper.asPath(params.outdir.toString()).toAbsolutePath()
        run = params.trace_report_suffix
        linked = params.publish_dir_mode in ['symlink', 'rellink']
    }

    /** Note files of a task before it is known whether they got there: a run may be killed at any time. */
    synchronized void add(Collection<Path> files) {
        def changed = files.collect { file ->
            def name = taskOf(file).relativize(file)
            def folder = name.getName(0).toString()
            if (!rows[folder]) {
                earlier[folder] = read(folder)
                rows[folder] = new TreeMap()
            }
            rows[folder][name.toString()] = [path: name.toString(), run: run, size: '', modified: '', source: file.toUriString()]
            folder
        }
        changed.unique().each { folder -> write(folder, earlier[folder] + rows[folder].values()) }
    }

    boolean has(String path) {
        rows.values().any { files -> files.containsKey(path) }
    }

    /**
     * Make results/ hold what this run says, once all is there: in the folders that it wrote, files of earlier runs go.
     *
     * @param samples the slices of this run
     * @return lines that tell what else is there
     */
    List<String> settle(Collection<String> samples) {
        def gone = []
        def left = []
        rows.each { folder, files ->
            files.values().each { row -> complete(row) }
            filesOf(outdir.resolve(folder)).each { file ->
                def name = outdir.relativize(file).toString()
                if (files.containsKey(name)) {
                    return
                }
                if (earlier[folder].any { row -> row.path == name && isAsWritten(file, row) }) {
                    remove(file, outdir.resolve(folder))
                    gone << name
                } else {
                    left << name
                }
            }
            write(folder, files.values())
        }
        def others = foldersOf(outdir).findAll { folder -> !rows[folder] && (folder in samples || folder == 'cohort' || isSlice(folder)) }
        [
            ['taken out, since this run has none of these', gone],
            ['not of this run, left as they are', left],
            ['of an earlier run, since this one ended without theirs', others.findAll { folder -> folder in samples || folder == 'cohort' }],
            ['slices of other runs', others.findAll { folder -> !(folder in samples || folder == 'cohort') }],
        ].findAll { line -> line[1] }.collect { said, names ->
            "${outdir}: ${said}: ${names.take(MOST_NAMED).join(', ')}${names.size() > MOST_NAMED ? " and ${names.size() - MOST_NAMED} more" : ''}".toString()
        }
    }

    /** The folder of the task that made a file. */
    static Path taskOf(Path file) {
        file.parent.parent.fileName.toString() ==~ /[0-9a-f]{2}/ && file.parent.fileName.toString() ==~ /[0-9a-f]{30}/ ? file.parent : taskOf(file.parent)
    }

    /** Whether something that was computed lies there, which a stub's empty files would replace. */
    static boolean isReal(Path outdir) {
        ['cohort/metrics.tsv', *foldersOf(outdir).collect { folder -> "${folder}/metrics.json" }].any { name ->
            Files.exists(outdir.resolve(name)) && Files.size(outdir.resolve(name)) > 0
        }
    }

    /** Size and time of a file that is there now; it is a file or a link as publish_dir_mode says. */
    private void complete(Map row) {
        def file = outdir.resolve(row.path)
        def source = FileHelper.asPath(row.source)
        // Nextflow leaves a link that holds the same, and counts a relative one from the link that outdir may be
        if (Files.isSymbolicLink(file) && !(linked && Files.exists(file))) {
            Files.delete(file)
            linked ? Files.createSymbolicLink(file, file.parent.toRealPath().relativize(source.toRealPath())) : FileHelper.copyPath(source, file)
        }
        row.size = Files.size(file).toString()
        row.modified = modified(file)
    }

    /** Without leaving an empty folder behind in the slice's. */
    private static void remove(Path file, Path folder) {
        Files.delete(file)
        if (file.parent != folder && Files.isDirectory(file.parent) && Files.list(file.parent).withCloseable { entries -> entries.findAny().empty }) {
            Files.delete(file.parent)
        }
    }

    private static boolean isAsWritten(Path file, Map row) {
        def source = FileHelper.asPath(row.source)
        if (Files.isSymbolicLink(file)) {
            def target = Files.readSymbolicLink(file)
            return [file.parent, file.parent.toRealPath()].any { parent -> parent.resolve(target).normalize() == source }
        }
        if (row.modified) {
            return Files.size(file).toString() == row.size && modified(file) == row.modified
        }
        // of a run that did not end: whole, or cut off when it was killed
        Files.exists(source) && Files.mismatch(file, source) in [-1L, Files.size(file)]
    }

    private static String modified(Path file) {
        Files.getLastModifiedTime(file).toInstant().truncatedTo(ChronoUnit.MILLIS).toString()
    }

    /** A folder that has, or had before there were tables, a slice in it. */
    private boolean isSlice(String folder) {
        Files.exists(table(folder)) || Files.exists(outdir.resolve("${folder}/${folder}.h5ad"))
    }

    private Path table(String folder) {
        outdir.resolve("pipeline_info/published/${folder}.tsv")
    }

    private List<Map> read(String folder) {
        def file = table(folder)
        Files.exists(file) ? file.readLines('UTF-8').drop(1).collect { line -> [COLUMNS, line.split('\t', -1) as List].transpose().collectEntries() } : []
    }

    private void write(String folder, Collection<Map> rows) {
        def lines = [COLUMNS, *rows.collect { row -> row.subMap(COLUMNS).values() }]
        Files.createDirectories(table(folder).parent)
        table(folder).setText(lines.collect { cells -> cells.join('\t') + '\n' }.join(''), 'UTF-8')
    }

    private static List<String> foldersOf(Path path) {
        list(path).findAll { entry -> Files.isDirectory(entry) }.collect { entry -> entry.fileName.toString().replaceAll('/$', '') } - 'pipeline_info'
    }

    /** Files below a folder; a link in it is one of them, wherever it leads. */
    private static List<Path> filesOf(Path path) {
        list(path).collectMany { entry -> Files.isDirectory(entry) && !Files.isSymbolicLink(entry) ? filesOf(entry) : [entry] }
    }

    /** What is in a folder, but for hidden files, which are the system's. */
    private static List<Path> list(Path path) {
        Files.isDirectory(path) ? Files.list(path).withCloseable { entries -> entries.findAll { entry -> !entry.fileName.toString().startsWith('.') }.sort() } : []
    }
}
