internal import LinuxKernel

/// Where a text is shown that is printed again and again: in its own place on a terminal, one
/// after the other elsewhere.
struct Screen {
    private let isTerminal = Terminal.isTerminal(StandardStream.output.rawValue)

    /// - Parameter isDocument: it is for programs, and never redrawn.
    func show(_ text: String, isDocument: Bool) {
        if isDocument {
            StandardStream.output.write(text)
        } else if isTerminal {
            // Home; each line erased behind its end; what is below erased.
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            StandardStream.output.write(
                "\u{1b}[H" + lines.joined(separator: "\u{1b}[K\n") + "\u{1b}[J")
        } else {
            StandardStream.output.write(text + "\n")
        }
    }
}
