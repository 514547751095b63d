import groovy.json.JsonSlurper
import java.nio.file.FileSystems
import java.nio.file.Files
import java.nio.file.LinkOption
import java.nio.file.Path

/**
 * What -resume may take from an earlier run. Nextflow asks whether a task's files are there, not what became of them.
 * Of a work folder only this session's tasks are looked at, whose list is kept there: others may share it.
 */
class Cache {

    private static final long CLOCKS_DIFFER_BY = 2000 // milliseconds, between a node and its file server

    private final Path workDir
    private final Path list
    private final Set<String> tasks

    Cache(Path workDir, Object session) {
        this.workDir = workDir
        list = workDir.resolve("notes/${session}.tasks")
        tasks = isHere() && Files.exists(list) ? list.readLines() : []
    }

    /** Know the folder of a task that ended. */
    synchronized void add(Path task) {
        if (isHere() && tasks.add(workDir.relativize(task).toString())) {
            Files.createDirectories(list.parent)
            list.append("${workDir.relativize(task)}\n")
        }
    }

    /**
     * Let the tasks run again whose files were changed after they ended: truncated, edited, written over. A task writes
     * its exit status last, so such a file is younger; without an exit status Nextflow takes a task for unfinished.
     *
     * @return a line for each such task
     */
    List<String> distrustChanged() {
        tasks.collect { name ->
            def status = workDir.resolve(name).resolve('.exitcode')
            def changed = Files.exists(status) ? changedSince(status.parent, Files.getLastModifiedTime(status).toMillis()) : null
            if (changed) {
                Files.delete(status)
            }
            changed ? "${changed}: changed after its task had ended; the task runs again".toString() : null
        }.findAll()
    }

    /** Let the tasks run again that refused a slice or broke down, so that --debug can show where. */
    void distrustFailed() {
        tasks.each { name ->
            def task = workDir.resolve(name)
            def notes = Files.isDirectory(task) ? Files.list(task).withCloseable { files -> files.filter { file -> file.name.endsWith('.status.json') }.toList() } : []
            if (notes.any { note -> new JsonSlurper().parse(note).failure }) {
                Files.deleteIfExists(task.resolve('.exitcode'))
            }
        }
    }

    private boolean isHere() {
        workDir.fileSystem == FileSystems.default
    }

    /** Links are other tasks' files, and hidden ones Nextflow's. */
    private static Path changedSince(Path task, long ended) {
        Files.walk(task).withCloseable { paths ->
            paths.filter { path -> Files.isRegularFile(path, LinkOption.NOFOLLOW_LINKS) }
                .filter { path -> !task.relativize(path).toString().startsWith('.') }
                .filter { path -> Files.getLastModifiedTime(path).toMillis() > ended + CLOCKS_DIFFER_BY }
                .findFirst().orElse(null)
        }
    }
}
