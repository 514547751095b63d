import java.nio.file.FileSystems
import java.nio.file.Files
import java.nio.file.Path

/** What -resume may take from an earlier run. Nextflow asks whether a task's files are there, not what became of them. */
class Cache {

    private static final long CLOCKS_DIFFER_BY = 2000 // milliseconds, between a node and its file server

    /**
     * Let the tasks run again whose files were changed after they ended: truncated, edited, written over. A task writes
     * its exit status last, so such a file is younger; without an exit status Nextflow takes a task for unfinished.
     *
     * @return a line for each such task
     */
    static List<String> distrustChanged(Path workDir) {
        if (workDir.fileSystem != FileSystems.default || !Files.isDirectory(workDir)) {
            return []
        }
        folders(workDir).findAll { path -> path.fileName.toString() ==~ /[0-9a-f]{2}/ }.collectMany { path -> folders(path) }.collect { task ->
            def status = task.resolve('.exitcode')
            def changed = Files.exists(status) ? changedSince(task, Files.getLastModifiedTime(status).toMillis()) : null
            if (changed) {
                Files.delete(status)
            }
            changed ? "${changed}: changed after its task had ended; the task runs again".toString() : null
        }.findAll()
    }

    private static List<Path> folders(Path path) {
        Files.list(path).withCloseable { entries -> entries.findAll { entry -> Files.isDirectory(entry) }.sort() }
    }

    /** Links are other tasks' files, and hidden ones Nextflow's. */
    private static Path changedSince(Path task, long ended) {
        Files.walk(task).withCloseable { paths ->
            paths.filter { path -> Files.isRegularFile(path, java.nio.file.LinkOption.NOFOLLOW_LINKS) }
                .filter { path -> !task.relativize(path).toString().startsWith('.') }
                .filter { path -> Files.getLastModifiedTime(path).toMillis() > ended + CLOCKS_DIFFER_BY }
                .findFirst().orElse(null)
        }
    }
}
