import java.nio.file.FileSystems
import java.nio.file.FileVisitOption
import java.nio.file.FileVisitResult
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.SimpleFileVisitor
import java.nio.file.attribute.BasicFileAttributes
import java.security.MessageDigest

/**
 * What a step may read of a folder, or beside what the sheet names: positions. Nextflow looks at a folder's own time, and
 * beside nothing; a digest among a task's inputs makes -resume run it again when, and only when, one of the files changed.
 */
class Inputs {

    private static final READ = ~/(?i).*\.(h5|h5ad|hdf5|csv|tsv|txt|gem|mtx|json|geojson|parquet|png|xenium)(\.gz)?/
    private static final POSITIONS = ~/(?i).*(coord|position|location|spatial|centroid).*\.(csv|tsv|txt|parquet)(\.gz)?/
    private static final DEPTH = 5 // outs/binned_outputs/square_008um/filtered_feature_bc_matrix/matrix.mtx.gz
    // of so many files at most, and so large ones, the content tells, whatever their time; of others size and time
    private static final FEW = 1000
    private static final SMALL = 1 << 20

    /**
     * @param path a file or folder; of a remote one nothing is known, and none is read beside it
     * @param ours folders that a run writes to, should they lie within
     */
    static String digest(Path path, List<Path> ours) {
        if (path.fileSystem != FileSystems.default) {
            return ''
        }
        def real = path.toRealPath()
        def name = path.fileName.toString()
        def files = Files.isDirectory(real) ? within(real, name, ours) : new TreeMap<Path, BasicFileAttributes>()
        def links = files.keySet().findAll { file -> file.parent == real && Files.isSymbolicLink(file) }
        ([[real, name]] + links.collect { link -> [link.toRealPath(), link.fileName.toString()] }).each { place, called ->
            beside(place, called).each { file -> files[file] = Files.readAttributes(file, BasicFileAttributes) }
        }
        def sha = MessageDigest.getInstance('SHA-256')
        files.each { file, attributes ->
            def isSmall = files.size() <= FEW && attributes.size() <= SMALL && Files.isReadable(file)
            sha.update("${file}\0${attributes.size()}\0".getBytes('UTF-8'))
            sha.update(isSmall ? Files.readAllBytes(file) : attributes.lastModifiedTime().toString().bytes)
        }
        sha.digest().encodeHex().toString()
    }

    /** Tables of positions that may belong to a matrix: those called like it, or else all; Space Ranger's in any case. */
    private static List<Path> beside(Path real, String name) {
        def found = list(real.parent).findAll { file -> file != real && file.fileName.toString() ==~ POSITIONS }
        def stem = name.replaceAll(/\..*/, '')
        def same = found.findAll { file -> file.fileName.toString().startsWith(stem) }
        def spaceRanger = (found + list(real.parent.resolve('spatial'))).findAll { file -> file.fileName.toString().contains('tissue_positions') }
        (same ?: found) + spaceRanger
    }

    private static List<Path> list(Path folder) {
        try {
            Files.list(folder).withCloseable { entries -> entries.filter { entry -> Files.isRegularFile(entry) }.toList() }
        } catch (IOException _error) {
            []
        }
    }

    private static TreeMap<Path, BasicFileAttributes> within(Path real, String name, List<Path> ours) {
        def isStore = name.endsWith('.zarr') || ['zarr.json', '.zgroup'].any { file -> Files.exists(real.resolve(file)) }
        def found = new TreeMap<Path, BasicFileAttributes>()
        Files.walkFileTree(real, EnumSet.of(FileVisitOption.FOLLOW_LINKS), isStore ? Integer.MAX_VALUE : DEPTH, new SimpleFileVisitor<Path>() {
            @Override
            FileVisitResult preVisitDirectory(Path folder, BasicFileAttributes attributes) {
                folder != real && (folder.fileName.toString().startsWith('.') || folder in ours) ? FileVisitResult.SKIP_SUBTREE : FileVisitResult.CONTINUE
            }

            @Override
            FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
                if (attributes.isRegularFile() && (isStore || file.fileName.toString() ==~ READ)) {
                    found[file] = attributes
                }
                FileVisitResult.CONTINUE
            }

            @Override
            FileVisitResult visitFileFailed(Path file, IOException error) { // a loop of links, or what may not be read
                FileVisitResult.CONTINUE
            }
        })
        found
    }
}
