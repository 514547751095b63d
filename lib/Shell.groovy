/** What goes into a script that a shell reads. */
class Shell {

    /** One shell word that stands for exactly this text. */
    static String quote(Object text) {
        "'" + text.toString().replace("'", "'\\''") + "'"
    }
}
