internal import Console
internal import LinuxKernel
internal import SandboxModel

/// What a person is told, all of it on standard error.
enum Messages {
    /// Writes a message. It stays one line whatever a user, an image or a workload has put into
    /// it, and steers no terminal.
    static func write(_ text: String) {
        StandardStream.error.write(PlainText.line(text) + "\n")
    }

    /// What was refused, as a message of this program.
    static func tell(_ error: SandboxError) {
        write("alcove: \(error)")
    }

    /// Whatever a command threw, as a refusal with its code.
    static func refusal(_ error: any Error) -> SandboxError {
        switch error {
        case let error as SandboxError: error
        case let error as FlagError: SandboxError(.usage, error.message, hint: error.hint)
        default: SandboxError(.setUpFailed, "\(error)")
        }
    }
}

extension StandardStream {
    /// The characters in a line of text for a person: those of the terminal, in bounds in which
    /// text can be read.
    var textWidth: Int {
        let columns = Terminal.size(of: rawValue).map { Int($0.columns) } ?? 0
        return columns == 0 ? 80 : min(max(columns, 40), 100)
    }
}
