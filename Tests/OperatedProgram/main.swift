internal import AgentOperations
internal import Glibc

// A program that is run as the agent is: tests start it under the tools of a service manager.

do {
    let words = Array(CommandLine.arguments.dropFirst())
    switch words.first {
    case "adopt": try Adoption.report()
    case "log" where words.count == 2: try Logging.log(words[1])
    default: throw ServiceError("usage: OperatedProgram adopt | log FORMAT")
    }
} catch {
    print("\(error)")
    exit(1)
}
