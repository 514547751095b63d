import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import java.nio.file.Files
import java.nio.file.Path
import nextflow.Nextflow
import nextflow.file.FileHelper

/** A run's beginning and end: everything that is not a step. */
class Run {

    private static final int PATIENCE = 10_000 // milliseconds

    private final Map params
    private final Object workflow
    private final Parameters parameters
    private final Path project
    private Cache cache
    private Published published
    private Collection<String> samples
    private String table = ''
    /** What all tasks' notes say. */
    private final List<Map> notes = [].asSynchronized()

    Run(Map params, Object workflow) {
        this.params = params
        this.workflow = workflow
        project = workflow.projectDir
        parameters = new Parameters(project.resolve('nextflow_schema.json'))
    }

    String help() {
        parameters.help(params.help, workflow.manifest.version)
    }

    /** The parameters that decide results, as JSON. */
    String settings() {
        parameters.scientific(params)
    }

    /** What each slice needs, by its name; all that is wrong and can be seen before any task is told at once. */
    Map<String, Map> check() {
        def given = new LinkedHashMap(params)
        if (workflow.stubRun && !params.input) { // nothing is computed: the graph alone needs no slices of the user's
            given.input = project.resolve('assets/test/samplesheet.csv').toString()
        }
        def problems = parameters.problems(given)
        def input = given.input && !Environment.unnameable(given.input) ? FileHelper.asPath(given.input.toString()) : null
        def sheet = input && Files.exists(input) ? new Sheet(input, project.resolve('assets/schema_input.json')) : null
        sheet?.divide(given.domains_from.toString())
        problems += sheet?.problems ?: []
        if (sheet && given.frame in ['common', 'transport'] && !sheet.slices.any { row -> row.group }) {
            problems += "--frame ${given.frame}: no slices of the sheet share a group, so that none would be laid on another; give those that do a group, or leave --frame out".toString()
        }
        if (workflow.stubRun && !problems && Published.isReal(FileHelper.asPath(params.outdir.toString()))) {
            problems += "--outdir ${params.outdir}: holds results, which -stub-run would replace by empty files; give it a folder of its own".toString()
        }
        if (!workflow.stubRun) {
            problems += new Environment(workflow, nextflow.Global.session.config, params.container_registry).problems()
        }
        if (problems) {
            Nextflow.error(problems.size() == 1 ? problems[0] : "${problems.size()} problems:\n  ${problems.join('\n  ')}")
        }
        cache = new Cache(workflow.workDir, workflow.sessionId)
        published = new Published(params)
        if (!workflow.preview) {
            if (workflow.resume) {
                cache.distrustChanged().each { line -> println(line) }
                if (params.debug.toBoolean()) {
                    cache.distrustFailed()
                }
            }
            def info = FileHelper.asPath("${params.outdir}/pipeline_info")
            Files.createDirectories(info)
            info.resolve("params_${params.trace_report_suffix}.json").text = JsonOutput.prettyPrint(JsonOutput.toJson(new TreeMap(params))) + '\n'
        }
        samples = sheet.slices*.id
        def ours = [workflow.workDir, FileHelper.asPath(params.outdir.toString())].findAll { folder -> Files.exists(folder) }*.toRealPath()
        def digest = { path -> Inputs.digest(path, ours) }.memoize()
        sheet.slices.collectEntries { row ->
            def reference = row.reference ? row.reference + [digest: digest(FileHelper.asPath(row.reference.path))] : null
            // as processes take them; of what is known a column alone is read from the slice's own file
            def source = [row.data, digest(row.data), row.reading]
            def truth = [row.annotation, row.column, row.proportions]
            def inputs = [
                source: source,
                checked: source + [row.n_domains] + truth + [row.names],
                known: [JsonOutput.toJson(row.given)] + (row.column ? source : [[], '', '']) + truth + [row.names],
            ]
            [row.id, row + inputs + [reference: reference]]
        }
    }

    /**
     * Know a task that ended, by its note. What it could not do for what the machine lacks is no answer to keep: without
     * an exit status Nextflow takes a task for unfinished, and -resume runs it again.
     */
    void ended(Path note) {
        def task = Published.taskOf(note)
        cache.add(task)
        def said = new JsonSlurper().parse(note)
        notes << said
        if (said.again) {
            Files.deleteIfExists(task.resolve('.exitcode'))
        }
    }

    /** Know what goes to results/: a file, or files, of a task. */
    void publishes(Object files) {
        published.add([files].flatten())
    }

    /** Know the closing table. */
    void closes(String table) {
        this.table = table
    }

    /** Say where the report is; a step may have refused a slice and ended well, so look whether all slices did. */
    void finish() {
        if (workflow.preview || nextflow.Global.session.aborted) {
            return
        }
        published.settle(samples).each { line -> println(line) } // all is there by now
        def info = FileHelper.asPath("${params.outdir}/pipeline_info")
        info.resolve('software_versions.yml').setText(versions(), 'UTF-8')
        info.resolve("steps_${params.trace_report_suffix}.tsv").setText(steps(), 'UTF-8')
        def cohort = FileHelper.asPath("${params.outdir}/cohort").toAbsolutePath()
        def failures = cohort.resolve('failures.tsv')
        if (published.has('cohort/failures.tsv')) {
            println("report: ${cohort.resolve('report.html').toUriString()}")
        } else {
            // report_cohort, whose tables these would be, failed or was never reached
            def rows = Broken.failures(Broken.steps(notes))
            rows.drop(1).each { sample, step, reason -> println("${sample}: ${step}: ${reason}") }
            def why = rows.any { row -> row[1] == 'report_cohort' } ? 'report_cohort failed' : 'the run ended before it; -resume goes on from here'
            println("there is no report of this run: ${why}")
            Files.createDirectories(cohort)
            failures.setText(table(rows), 'UTF-8')
        }
        def failed = failures.readLines().size() > 1
        if (params.hook_url) {
            post(workflow.success && !failed ? 'all slices are done' : "not all slices are done: ${failures.toUriString()}")
        }
        if (failed) {
            println("failures: ${failures.toUriString()}")
            if (workflow.success) {
                nextflow.Global.session.abort() // the exit status becomes 1
            }
        }
    }

    /** Tell a chat how the run went, as the webhooks of Slack, Mattermost and Teams take it; a run does not fail by it. */
    private void post(String said) {
        def text = "spotfuse ${workflow.manifest.version}, ${workflow.runName}: ${said}\n${table}".toString()
        try {
            def connection = new URI(params.hook_url.toString()).toURL().openConnection()
            connection.setRequestProperty('Content-Type', 'application/json')
            connection.setConnectTimeout(PATIENCE)
            connection.setReadTimeout(PATIENCE)
            connection.setDoOutput(true)
            connection.outputStream.withWriter('UTF-8') { writer -> writer << JsonOutput.toJson([text: text]) }
            connection.inputStream.close()
        } catch (IOException error) {
            println("--hook_url was not told: ${error.message}")
        }
    }

    /** The software that each step used. */
    private String versions() {
        def steps = new TreeMap().withDefault { new TreeMap() }
        notes.each { note -> steps[note.step] += note.versions }
        steps.workflow = [spotfuse: workflow.manifest.version, nextflow: workflow.nextflow.version]
        steps.collect { step, versions ->
            "${step}:\n" + versions.collect { name, version -> "    ${name}: ${version}\n" }.join('')
        }.join('')
    }

    /** What each task took and loaded, and how it was called, whatever parameters and configuration said. */
    private String steps() {
        def columns = ['sample', 'step', 'seconds', 'processor_seconds', 'peak_rss_mb', 'modules', 'command']
        def rows = notes.findAll { note -> note.command }.collect { note -> columns.collect { name -> note[name] } }.unique()
        table([columns] + rows.sort { row -> "${row[0]} ${row[1]}".toString() })
    }

    private static String table(List<Collection> rows) {
        rows.collect { row -> row.collect { cell -> cell.toString().replaceAll(/\s/, ' ') }.join('\t') + '\n' }.join('')
    }

    /** How many counts of a slice are not zero, from the note of its check. */
    static Map sizeOf(Path check) {
        [n_counts: new JsonSlurper().parse(check).n_counts as long]
    }

    /** A group of prepared slices [[meta, h5ad], ...] as one, its slices in the order of their names. */
    static List groupOf(String group, List<List> slices) {
        def sorted = slices.sort { slice -> slice[0].id }
        [[id: group, n_counts: sorted.sum { slice -> slice[0].n_counts }, slices: sorted*.first()], sorted*.last()]
    }

    /** What a step's note means to who watches the run: a slice is done, or lost a step; null for steps on the way. */
    static String news(String sample, Path note) {
        def said = new JsonSlurper().parse(note)
        said.failure ? "${sample}: ${said.step} failed: ${said.failure}${said.traceback ? "\n${said.traceback.trim()}" : ''}"
            : said.step == 'report_slice' ? "${sample}: done" : null
    }

    /** How all steps went, [[slice, note], ...], as JSON: a step that slices share went so for each of them. */
    static String told(List<List> notes) {
        JsonOutput.toJson(Broken.steps(notes.collect { sample, note -> new JsonSlurper().parse(note) + [sample: sample] }))
    }

    static String toJson(Object value) {
        JsonOutput.toJson(value)
    }
}
