internal import Console
internal import HostReport
internal import Jail
internal import LinuxKernel
internal import SandboxModel

/// `alcove doctor`
enum DoctorCommand {
    static let declaration = PerformableCommand(
        command: Command(
            "doctor", summary: "say what this host can do, and what to do about the rest",
            discussion: """
                Starts a real sandbox where it can, and a tiny guest to see how fast KVM runs a \
                guest's kernel, and removes both. The exit code is 0 when a process sandbox can \
                start, and 69 when not.
                """,
            flags: [
                Flag("no-kvm-probe", help: "start no guest to measure KVM"),
                Flag("verbose", short: "v", help: "say of what is good too what it means"),
                Flag("json", help: "print as JSON"),
                Flag("markdown", help: "print the table of all checks as Markdown, and check none"),
            ],
            examples: [
                Example("alcove doctor", "look at this host"),
                Example("alcove doctor --json", "for a program"),
            ]),
        perform: perform)

    private static func perform(_ parsed: ParsedCommand) -> Int32 {
        if parsed.isOn("markdown") {
            StandardStream.output.write(HostSubjectDocument.table())
            return 0
        }
        let facts = HostFacts.detect(
            program: try? Files.linkTarget("/proc/self/exe"),
            initPath: InitLocation.path(),
            measuringGuest: !parsed.isOn("no-kvm-probe"))
        let report = HostReport(facts)
        StandardStream.output.write(
            parsed.isOn("json")
                ? JSONWriter.text(report.json(facts), style: .pretty) + "\n"
                : report.text(
                    colored: mayColor, verbose: parsed.isOn("verbose"),
                    width: StandardStream.output.textWidth))
        return report.canStart ? 0 : SandboxError.Code.unavailable.rawValue
    }

    /// Colours are for terminals that have them, and for people who did not turn them off by
    /// `NO_COLOR`.
    private static var mayColor: Bool {
        Terminal.isTerminal(StandardStream.output.rawValue)
            && (ProcessEnvironment.value(of: "NO_COLOR") ?? "").isEmpty
            && !["", "dumb"].contains(ProcessEnvironment.value(of: "TERM") ?? "")
    }
}
