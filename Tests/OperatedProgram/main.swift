internal import AgentOperations
internal import Glibc

// A program that is run as the agent is: tests start it under the tools of a service manager.

do {
    switch CommandLine.arguments.dropFirst().first {
    case "adopt": try Adoption.report()
    default: throw ServiceError("usage: OperatedProgram adopt")
    }
} catch {
    print("\(error)")
    exit(1)
}
