import java.nio.file.Files
import java.nio.file.Path
import nextflow.file.FileHelper

/** What failed: by the notes of steps and, of tasks that ended without a word of their command, by Nextflow's trace. */
class Broken {

    /** What a signal leaves; 137 is the kernel's, for memory. */
    private static final KILLED = (130..145)

    /** How steps went, in one order: notes as [sample: 'A', step: 'train', failure: null or '...'], and the broken tasks. */
    static List<Map> steps(Collection<Map> notes) {
        def rows = notes.collect { note -> note.subMap(['sample', 'step', 'failure']) } + tasks()
        rows.sort { row -> "${row.sample} ${row.step}".toString() }
    }

    /** The rows of failures.tsv, its head first, from how steps went. */
    static List<List> failures(Collection<Map> steps) {
        def failed = steps.findAll { step -> step.failure ?: step.ended }
        [['sample', 'step', 'reason']] + failed.collect { step -> [step.sample, step.step, step.failure ?: step.ended] }
    }

    /**
     * [[sample: 'A', step: 'train', ended: '...'], ...], where sample is what the task was for: a slice, a group, a
     * reference's name, or the cohort. Empty where the trace cannot be read back, as in a bucket.
     */
    private static List<Map> tasks() {
        def trace = FileHelper.asPath(nextflow.Global.session.config.trace.file.toString())
        if (!Files.exists(trace)) {
            return []
        }
        def lines = trace.readLines('UTF-8')
        def names = lines[0].tokenize('\t')
        def last = [:]
        lines.drop(1).each { line ->
            def row = [names, line.split('\t', -1) as List].transpose().collectEntries()
            last[[row.process, row.tag]] = row
        }
        last.values().findAll { row -> row.status == 'FAILED' }.collect { row ->
            def step = row.process.tokenize(':')[-1].toLowerCase()
            [sample: row.tag == '-' ? 'cohort' : row.tag, step: step, ended: reason(step, row)]
        }
    }

    private static String reason(String step, Map row) {
        if (row.exit.isInteger() && row.exit.toInteger() in KILLED) {
            return "killed or out of memory in ${step}".toString()
        }
        def said = ['.command.err', '.command.log'].findResult { name -> lastLine(FileHelper.asPath(row.workdir).resolve(name)) }
        "${step} ended with exit status ${row.exit}${said ? ": ${said}" : ''}".toString()
    }

    private static String lastLine(Path file) {
        def lines = Files.exists(file) ? file.readLines('UTF-8')*.trim().findAll() : []
        lines ? Schema.brief(lines[-1], 300) : null
    }
}
