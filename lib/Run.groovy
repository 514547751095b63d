import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import java.nio.file.Files
import java.nio.file.Path
import nextflow.Nextflow
import nextflow.file.FileHelper

/** A run's beginning and end: everything that is not a step. */
class Run {

    /** Check all that can be checked before any task; every problem is told at once. */
    static Sheet begin(Map params, Path project) {
        def parameters = new Parameters(project.resolve('nextflow_schema.json'))
        def problems = parameters.problems(params)
        def input = params.input ? FileHelper.asPath(params.input.toString()) : null
        def sheet = input && Files.isRegularFile(input) ? new Sheet(input, project.resolve('assets/schema_input.json')) : null
        problems += sheet?.problems ?: []
        if (problems) {
            Nextflow.error(problems.size() == 1 ? problems[0] : "${problems.size()} problems:\n" + problems.collect { problem -> "  ${problem}" }.join('\n'))
        }
        sheet
    }

    static String help(Map params, Path project, String version) {
        new Parameters(project.resolve('nextflow_schema.json')).help(params.help, version)
    }

    static String scientific(Map params, Path project) {
        new Parameters(project.resolve('nextflow_schema.json')).scientific(params)
    }

    static String toJson(Object value) {
        JsonOutput.toJson(value)
    }

    static void end(Map params, Object workflow) {
        def failures = FileHelper.asPath("${params.outdir}/cohort/failures.tsv")
        if (workflow.success && Files.exists(failures) && failures.readLines().size() > 1) {
            nextflow.Global.session.abort()
        }
    }

    /**
     * A reference's note of how it went, as the note of one slice that uses it. It stays the same file as long as it
     * says the same, so that tasks that take it stay cached.
     */
    static Path noteFor(String sample, Path note, Path workDir) {
        def text = JsonOutput.toJson(new JsonSlurper().parse(note) + [sample: sample]) + '\n'
        def folder = workDir.resolve("notes/${text.md5()}")
        def copy = folder.resolve("${sample}.prepare_reference.status.json")
        if (!Files.exists(copy)) {
            Files.createDirectories(folder)
            copy.text = text
        }
        copy
    }
}
