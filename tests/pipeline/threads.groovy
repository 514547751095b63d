// Asks for the steps of a slice from eight threads at once, of a class just loaded each time; prints how many were wrong.
def root = java.nio.file.Path.of(args[0])
nextflow.Global.session = [getBaseDir: { root }] as nextflow.ISession
def slice = [given: [data: 'A.h5ad'], group: null]
def wrong = new java.util.concurrent.atomic.AtomicInteger()
30.times {
    def steps = new GroovyClassLoader(this.class.classLoader).parseClass(root.resolve('lib/Steps.groovy').toFile())
    def start = new java.util.concurrent.CountDownLatch(1)
    (1..8).collect {
        Thread.start {
            start.await()
            try {
                wrong.addAndGet(steps.runs('train', slice) && !steps.runs('join_group', slice) ? 0 : 1)
            } catch (Throwable _error) {
                wrong.incrementAndGet()
            }
        }
    }.with { threads -> start.countDown(); threads }*.join()
}
println(wrong)
