internal import CInit

/// What a process is made of, as the texts at the end of a message: where it begins, the programs
/// to try, its arguments and its environment. They stay in the buffer for messages, and the vectors
/// of them in the one for those: it serves until the next one.
@safe
struct CommandTexts {
    /// How many of each there are.
    struct Counts {
        let programs: UInt16
        let arguments: UInt16
        let variables: UInt16
    }

    private let directory: UnsafeMutablePointer<CChar>
    /// Each ends in null.
    private let programs: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let environment: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

    /// Nil if the bytes from the offset on are not so many texts, to the last byte.
    ///
    /// - Parameter bytes: in the buffer for messages.
    @unsafe
    init?(_ bytes: UnsafeRawBufferPointer, from offset: Int, _ counts: Counts) {
        // SAFETY: no index reaches the count. A zero byte at the end: no text goes beyond it.
        guard counts.programs > 0, counts.arguments > 0, offset < bytes.count,
            Int(counts.programs) + Int(counts.arguments) + Int(counts.variables)
                <= Int(CINIT_MOST_TEXTS),
            unsafe bytes[bytes.count - 1] == 0, var place = unsafe cinit_text_vector()
        else { return nil }
        // SAFETY: the vector has room for so many texts and three nulls.
        var texts = unsafe TextScanner(bytes, from: offset)
        guard let directory = unsafe texts.next() else { return nil }
        unsafe self.directory = directory
        unsafe programs = place
        guard unsafe texts.take(Int(counts.programs), &place) else { return nil }
        // SAFETY: as above.
        unsafe arguments = place
        guard unsafe texts.take(Int(counts.arguments), &place) else { return nil }
        unsafe environment = place
        guard unsafe texts.take(Int(counts.variables), &place), texts.isAtEnd else { return nil }
    }

    /// A command of them, with the streams of a process yet to be given.
    var command: cinit_command {
        // SAFETY: texts and vectors end as C wants it, and stay until the next message.
        var command = unsafe cinit_command()
        unsafe command.programs = UnsafePointer(programs)
        unsafe command.arguments = UnsafePointer(arguments)
        unsafe command.environment = UnsafePointer(environment)
        unsafe command.directory = UnsafePointer(directory)
        return unsafe command
    }
}
