/** What every step of a stub run leaves besides its results. */
class Stub {

    /** Shell commands that write a step's note of how it went, and its versions. */
    static String notes(String sample, String step) {
        def note = groovy.json.JsonOutput.toJson([sample: sample, step: step, failure: null, seconds: 0, peak_rss_mb: 0])
        "echo '${note}' > ${sample}.${step}.status.json; echo '${step}: {}' > versions.yml"
    }
}
