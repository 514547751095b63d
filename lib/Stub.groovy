/** What every step of a stub run leaves besides its results. */
class Stub {

    /** A shell command that writes a step's note of how it went. */
    static String note(String sample, String step) {
        def note = groovy.json.JsonOutput.toJson([sample: sample, step: step, failure: null, seconds: 0, peak_rss_mb: 0, versions: [:]])
        "echo '${note}' > ${sample}.${step}.status.json"
    }

    /** The table of what failed, from how the steps went as report_cohort takes it. */
    static String failures(String notes) {
        Broken.failures(new groovy.json.JsonSlurper().parseText(notes))*.join('\t').join('\n    ')
    }
}
