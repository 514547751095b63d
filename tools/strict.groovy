// Prints what the strict parser says of scripts and configurations, a line each, then how many files it read.
def scripts = new nextflow.script.control.ScriptParser()
def configs = new nextflow.config.control.ConfigParser()
args.each { name -> (name.endsWith('.nf') ? scripts : configs).parse(new File(name).absoluteFile) }
def n_files = 0
[scripts, configs].each { parser ->
    parser.analyze()
    parser.compiler().sources.values().each { source ->
        n_files += 1
        source.errorCollector.errors.each { error -> println("${source.name}: ${error.cause.message}") }
        source.errorCollector.warnings.each { warning -> println("${source.name}, line ${warning.context?.startLine}: ${warning.message}") }
    }
}
println("${n_files} files")
