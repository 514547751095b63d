import groovy.transform.Memoized
import java.nio.file.Files
import java.nio.file.Path
import java.security.MessageDigest

/**
 * Which sources a command in bin/ consists of. Nextflow hashes the command's own file only; a digest of all of them in
 * the task's script makes -resume run a step again when, and only when, something that it imports has changed.
 */
class Sources {

    private static final FROM = ~/(?m)^[ \t]*from[ \t]+(spotfuse[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]*)/
    private static final IMPORT = ~/(?m)^[ \t]*import[ \t]+(spotfuse[\w.]*)/

    static String digest(String step) {
        def bin = nextflow.Global.session.baseDir.resolve('bin')
        def sha = MessageDigest.getInstance('SHA-256')
        files(bin, step).each { name ->
            sha.update(name.bytes)
            sha.update(Files.readAllBytes(bin.resolve(name)))
        }
        sha.digest().encodeHex().toString()
    }

    /** The command and all it imports, as names relative to bin/, sorted. */
    static SortedSet<String> files(Path bin, String step) {
        def found = new TreeSet<String>()
        def waiting = ["${step}.py".toString()]
        while (waiting) {
            def name = waiting.pop()
            if (!Files.isRegularFile(bin.resolve(name)) || !found.add(name)) {
                continue
            }
            if (name.endsWith('.py')) {
                waiting.addAll(imported(bin, name))
            }
        }
        found
    }

    @Memoized // steps share most of their sources
    private static List<String> imported(Path bin, String name) {
        modules(bin.resolve(name).text).collectMany { module -> filesOf(bin, module) }
    }

    private static List<String> modules(String text) {
        def modules = (text =~ IMPORT).collect { match -> match[1] as String }
        (text =~ FROM).each { match ->
            def module = match[1] as String
            modules << module
            modules.addAll((match[2] as String).replaceAll(/#[^\n]*|[()]/, '').split(',').collect { name ->
                "${module}.${name.trim().split(/\s+/)[0]}".toString()
            })
        }
        modules
    }

    /** A module's file or its package's `__init__.py`, those of the packages around it, and the data that they read. */
    private static List<String> filesOf(Path bin, String module) {
        def parts = module.tokenize('.')
        (1..parts.size()).collectMany { n ->
            def path = parts.take(n).join('/')
            def assets = []
            if (Files.isDirectory(bin.resolve("${path}/assets"))) {
                bin.resolve("${path}/assets").eachFileRecurse(groovy.io.FileType.FILES) { file -> assets << bin.relativize(file).toString() }
            }
            ["${path}.py".toString(), "${path}.json".toString(), "${path}/__init__.py".toString()] + assets
        }
    }
}
