internal import Console
internal import LinuxKernel

/// `alcove version`
enum VersionCommand {
    static let version = "0.1.0"

    static let declaration = PerformableCommand(
        command: Command(
            "version", summary: "print the version",
            flags: [Flag("json", help: "print as JSON")]),
        perform: perform)

    private static func perform(_ parsed: ParsedCommand) -> Int32 {
        let text =
            parsed.isOn("json")
            ? JSONWriter.text(["version": JSONValue(version)]) : "alcove \(version)"
        StandardStream.output.write(text + "\n")
        return 0
    }
}
