import groovy.json.JsonSlurperClassic
import java.nio.file.Path

/** The pipeline's steps, as bin/spotfuse/pipeline/steps.json tells them to the commands too (steps.py says what is what). */
class Steps {

    // operators ask at once, from several threads: the newer parser's maps fill when first asked, one half full for another
    private static final Map TOLD = new JsonSlurperClassic().parseText(nextflow.Global.session.baseDir.resolve('bin/spotfuse/pipeline/steps.json').text)

    /** Whether a step runs for a slice of the sheet; who is alone in a group has none. */
    static boolean runs(String step, Map slice) {
        isA(TOLD.steps[step].runs, slice)
    }

    /** Whether a step needs another one that others of its kind can do without. */
    static boolean needsToo(String step, String other, Map slice) {
        isA(TOLD.steps[step].needs_too[other], slice)
    }

    /** How many steps a step waits for, of those that run for a slice. */
    static int awaited(String step, Map slice) {
        taken(step).count { other -> runs(other, slice) }
    }

    /** Whether a step waits for the one that left these files. */
    static boolean takes(String step, Object files) {
        note(files).name.tokenize('.')[-3] in taken(step)
    }

    /** Of the files that a step left, the note of how it went: A.train.status.json. */
    static Path note(Object files) {
        files instanceof Path ? files : files.find { file -> file.name.endsWith('.status.json') } // a path is a list of names
    }

    /** Of the files that a step left of a group, one slice's: those in its folder, and the group's note if it has none. */
    static List<Path> partOf(String sample, Object files) {
        def all = files instanceof Path ? [files] : files
        def own = all.findAll { file -> file.parent.parent.name == 'slices' && file.parent.name == sample }
        note(own) ? own : own + [note(all.findAll { file -> file.parent.parent.name != 'slices' })]
    }

    private static boolean isA(String kind, Map slice) {
        def columns = slice.given + [group: slice.group]
        TOLD.runs[kind].any { names -> names.every { name -> columns[name] } }
    }

    private static Collection<String> taken(String step) {
        TOLD.steps[step].takes ?: TOLD.steps[step].needs.flatten().unique(false)
    }
}
