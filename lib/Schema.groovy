import java.nio.file.Files
import java.nio.file.Path

/**
 * What a JSON schema says of one value: the keywords that our two schemas use (type, enum, pattern, not.enum, minimum,
 * maximum, minLength, maxLength, format, exists, errorMessage), with messages for people.
 */
class Schema {

    static Map read(Path file) {
        new groovy.json.JsonSlurper().parse(file) as Map
    }

    /** What is wrong with a value, as the end of a sentence, or null. Numbers may come as text, as in a CSV file. */
    static String complaint(Map rule, Object value) {
        def text = value.toString()
        def types = [rule.type].flatten()
        if (!types.any { type -> isA(type, value) }) {
            return rule.errorMessage ?: "is '${text}', but must be ${types.collect { type -> NOUNS[type] }.join(' or ')}"
        }
        if (rule.enum && !(text in rule.enum*.toString())) {
            def near = nearest(text, rule.enum*.toString())
            return "is '${text}', but must be one of ${rule.enum.join(', ')}" + (near ? "; did you mean ${near}?" : '')
        }
        if (rule.pattern && !(text ==~ (rule.pattern as String)) ||
                rule.not?.enum?.any { other -> other.toString().equalsIgnoreCase(text) } ||
                rule.minLength && text.length() < rule.minLength || rule.maxLength && text.length() > rule.maxLength) {
            return "is '${brief(text)}', but ${rule.errorMessage ?: "must match ${rule.pattern}"}"
        }
        if (rule.minimum != null && text as BigDecimal < rule.minimum || rule.maximum != null && text as BigDecimal > rule.maximum) {
            return "is ${text}, but must be ${bounds(rule)}"
        }
        null
    }

    /** What is wrong with a path that a value names, or null. */
    static String missing(Map rule, Path path) {
        if (!rule.exists) {
            return null
        }
        if (path.toUri().scheme in ['http', 'https'] && path.toUriString().endsWith('/')) {
            return 'is a folder, which http cannot list; name a file'
        }
        if (!Files.exists(path)) {
            return "no such ${NOUNS[rule.format]}: ${path.toUriString()}"
        }
        if (rule.format == 'file-path' && Files.isDirectory(path)) {
            return "is a folder, but must be a file: ${path.toUriString()}"
        }
        null
    }

    /** A text as a message has room for it. */
    static String brief(Object text, int most = 60) {
        text.toString().length() > most ? text.toString().take(most - 3) + '...' : text
    }

    static String bounds(Map rule) {
        rule.minimum == null ? "at most ${rule.maximum}"
            : rule.maximum == null ? "at least ${rule.minimum}"
            : "from ${rule.minimum} to ${rule.maximum}"
    }

    /** The known name that someone who wrote this one most likely meant, or null. */
    static String nearest(String name, Collection<String> known) {
        def plain = { String text -> text.toLowerCase().replaceAll(/[^a-z0-9]/, '') }
        def best = known.min { other -> distance(plain(name), plain(other)) }
        best && distance(plain(name), plain(best)) <= (best.length() > 5 ? 2 : best.length() > 1 ? 1 : 0) ? best : null
    }

    private static final NOUNS = [
        string: 'text', integer: 'a whole number', number: 'a number', boolean: 'true or false',
        'file-path': 'file', 'directory-path': 'folder', path: 'file or folder',
    ]

    private static boolean isA(String type, Object value) {
        def text = value.toString()
        type == 'string' ? value instanceof CharSequence || value instanceof Number
            : type == 'integer' ? text ==~ /[+-]?\d+/
            : type == 'number' ? !(value instanceof Boolean) && text.isBigDecimal()
            : type == 'boolean' ? text in ['true', 'false']
            : false
    }

    /** Levenshtein's distance, where two neighbouring letters that changed places count as one change. */
    private static int distance(String a, String b) {
        def rows = [(0..b.length()).toList()]
        (1..<a.length() + 1).each { i ->
            def row = [i]
            (1..<b.length() + 1).each { j ->
                def cost = a[i - 1] == b[j - 1] ? 0 : 1
                def least = [rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + cost].min()
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                    least = Math.min(least, rows[i - 2][j - 2] + 1)
                }
                row << least
            }
            rows << row
        }
        rows[-1][-1]
    }
}
