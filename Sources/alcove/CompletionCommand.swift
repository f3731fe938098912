internal import Console
internal import LinuxKernel

/// `alcove completion`
enum CompletionCommand {
    static let declaration = PerformableCommand(
        command: Command(
            "completion", summary: "print a script that teaches a shell to complete `alcove`",
            flags: [],
            arguments: [
                Argument(
                    "SHELL", completes: .words(CompletionShell.allCases.map(\.rawValue)),
                    help: "bash, zsh or fish")
            ],
            examples: [
                Example("source <(alcove completion bash)", "for this shell"),
                Example(
                    "alcove completion fish >~/.config/fish/completions/alcove.fish",
                    "for every fish from now on"),
            ]),
        perform: { parsed in
            let name = parsed.argument("SHELL") ?? ""
            guard let shell = CompletionShell(rawValue: name) else {
                throw FlagError(
                    "`\(PlainText.escaped(name.prefix(40)))` is no shell that is known",
                    hint: "one of bash, zsh, fish")
            }
            StandardStream.output.write(AlcoveProgram.whole.completion(for: shell))
            return 0
        })
}
