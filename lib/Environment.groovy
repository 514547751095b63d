import java.nio.file.Files
import java.nio.file.Path

/** Whether what the steps run in is there: images, or Python packages. Only what this machine can tell is checked. */
class Environment {

    private static final IMAGES = ['core', 'cuda']

    private final Object workflow
    private final Map config
    private final Object registry

    Environment(Object workflow, Map config, Object registry) {
        this.workflow = workflow
        this.config = config
        this.registry = registry
    }

    /** A line each. */
    List<String> problems() {
        def engine = workflow.containerEngine
        def isLocal = (config.process?.executor ?: 'local') == 'local'
        if (isLocal && !engine && run(['ps', '--version']) == null) {
            return ['ps is not on PATH, with which Nextflow measures tasks: install it (Debian: procps)']
        }
        if (engine && registry) {
            return []
        }
        if (engine in ['docker', 'podman']) {
            return isLocal ? IMAGES.collect { image -> missing(engine, "spotfuse/${image}:${workflow.manifest.version}") }.findAll().unique() : []
        }
        if (engine) {
            return IMAGES.collect { image -> missingFile(engine, "spotfuse-${image}-${workflow.manifest.version}.img") }.findAll()
        }
        if (isLocal && !config.conda?.enabled) {
            def own = workflow.projectDir.resolve('.venv/bin/python3')
            def python = Files.exists(own.parent.parent) ? own.toString() : 'python3'
            def found = run([python, '-c', 'import sys, importlib.util as u; sys.exit(not all(map(u.find_spec, ["anndata", "torch_geometric"])))'])
            if (found == null && python != 'python3') {
                return ["${own} is not there or may not be started by this user: `make setup` by this user, in a clone of their own, makes one".toString()]
            }
            if (found != 0) {
                return ['the Python packages of the steps are not here: `make setup` installs them, or choose an engine (-profile docker ...)']
            }
        }
        []
    }

    /** What is wrong with a text whose letters this machine's locale does not have, or null: Java names files by it. */
    static String unnameable(Object text) {
        def charset = System.getProperty('sun.jnu.encoding')
        charset.equalsIgnoreCase('UTF-8') || text.toString() ==~ /\p{ASCII}*/ ? null
            : "has letters that the locale (${charset}) lacks: export LC_ALL=C.UTF-8, or start with tools/nextflow, which does so".toString()
    }

    private static String missing(String engine, String image) {
        def status = run([engine, 'image', 'inspect', image])
        status == 0 ? null
            : status == null ? "${engine} is not on PATH".toString()
            : "image ${image} is not here: `make images` builds it, or --container_registry says where it is".toString()
    }

    /** Apptainer's and Singularity's images are files that Nextflow looks for in two folders. */
    private String missingFile(String engine, String image) {
        def name = engine.toUpperCase()
        def folders = [
            config[engine]?.libraryDir, config[engine]?.cacheDir,
            System.getenv("NXF_${name}_LIBRARYDIR"), System.getenv("NXF_${name}_CACHEDIR"), workflow.workDir.resolve('singularity'),
        ].findAll()
        folders.any { folder -> Files.exists(Path.of(folder.toString(), image)) } ? null
            : "image ${image} is not in ${folders.join(' or ')}: `make images` and `make images-sif` make it, NXF_${name}_LIBRARYDIR names its folder; or --container_registry says where it is".toString()
    }

    /** The exit status, or null where there is no such command. */
    private static Integer run(List<String> command) {
        try {
            def process = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start()
            process.waitFor()
        } catch (IOException _error) {
            null
        }
    }
}
