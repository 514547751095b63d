import groovy.json.JsonOutput
import java.nio.file.Path
import nextflow.file.FileHelper

/** The pipeline's parameters as nextflow_schema.json describes them. */
class Parameters {

    final Map<String, Map> rules = [:]
    private final Map<String, Map> groups

    Parameters(Path schema) {
        groups = Schema.read(schema).'$defs'
        groups.values().each { group -> rules.putAll(group.properties) }
    }

    /** What is wrong with them, a line each. */
    List<String> problems(Map params) {
        // Nextflow adds a camel-case twin of each name with a dash
        def twins = params.keySet().findAll { name -> name.contains('-') }.collect { name ->
            name.replaceAll(/-(.)/) { _all, letter -> letter.toUpperCase() }
        }
        def unknown = (params.keySet() - rules.keySet() - twins).sort().collect { name -> noSuch(name) }
        def wrong = rules.findAll { name, _rule -> !isEmpty(params[name]) }.collect { name, rule ->
            // true is what Nextflow makes of a parameter after which nothing stands
            def said = params[name] == true && rule.type != 'boolean' ? 'has no value after it'
                : Environment.unnameable(params[name]) ?: Schema.complaint(rule, params[name])
            if (!said && rule.format) {
                said = Schema.missing(rule, FileHelper.asPath(params[name].toString()).toAbsolutePath())
            }
            said ? "--${name} ${said}".toString() : null
        }
        def required = groups.values().collectMany { group -> group.required ?: [] }
        def absent = required.findAll { name -> isEmpty(params[name]) }.collect { name ->
            "--${name} is missing: ${rules[name].description}".toString()
        }
        absent + unknown + wrong.findAll()
    }

    /** Those that decide results, as JSON: what the tables and reports of a run tell. */
    String scientific(Map params) {
        def names = groups.findAll { key, _group -> !(key in ['input_output_options', 'running']) }.values().collectMany { group -> group.properties.keySet() }
        JsonOutput.toJson(new TreeMap(params.subMap(names)))
    }

    private String noSuch(String name) {
        def near = Schema.nearest(name, rules.keySet())
        "--${name}: no such parameter; ${near ? "did you mean --${near}?" : '--help lists them'}".toString()
    }

    /** Help for all parameters, or for the one that `--help NAME` names. */
    String help(Object topic, String version) {
        if (!(topic.toString() in ['true', 'all'] + rules.keySet())) {
            nextflow.Nextflow.error("--help ${topic}: ${noSuch(topic.toString())}")
        }
        if (rules[topic.toString()]) {
            def rule = rules[topic.toString()]
            return "--${topic}  ${kind(rule)}${fallback(rule)}\n\n${wrap("${rule.description}. ${rule.help_text ?: ''}", 2)}"
        }
        def lines = [
            "spotfuse ${version}: spatial domains and cell-type proportions for spatial transcriptomics cohorts",
            '',
            'usage: nextflow run . [-profile PROFILE,...] --input samplesheet.csv [--outdir results] [--PARAMETER VALUE ...]',
            '',
            'profiles: docker, podman, singularity, apptainer, conda; slurm, awsbatch, google-batch, k8s; gpu; test, test_full',
        ]
        groups.values().each { group ->
            def shown = group.properties.findAll { _name, rule -> !rule.hidden || topic.toString() == 'all' }
            if (shown) {
                lines += ['', group.title]
                lines += shown.collect { name, rule ->
                    def head = "  --${name}".padRight(25)
                    def body = wrap("${rule.description}${kind(rule) ? " (${kind(rule)})" : ''}${fallback(rule)}", 25)
                    head.length() > 25 ? "${head}\n${body}" : head + body.substring(25)
                }
            }
        }
        lines += ['', '--help NAME tells more of one parameter, --help all shows the rarely needed ones too.']
        lines.join('\n')
    }

    private static boolean isEmpty(Object value) {
        value == null || value.toString() == ''
    }

    private static String kind(Map rule) {
        rule.enum ? rule.enum.join('|')
            : rule.minimum != null || rule.maximum != null ? "${NOUN[rule.type]} ${Schema.bounds(rule)}"
            : NOUN[[rule.type].flatten()[0]]
    }

    private static final NOUN = [string: '', integer: 'integer', number: 'number', boolean: 'true|false']

    private static String fallback(Map rule) {
        rule.default == null ? '' : " [${rule.default}]"
    }

    private static String wrap(String text, int indent) {
        def lines = ['']
        text.tokenize(' ').each { word ->
            if (lines[-1] && lines[-1].length() + word.length() + 1 > 100 - indent) {
                lines << ''
            }
            lines[-1] = lines[-1] ? "${lines[-1]} ${word}" : word
        }
        lines.collect { line -> ' ' * indent + line }.join('\n')
    }
}
