internal import Glibc
internal import LinuxKernel

// RPCTestServer SOCKET [name=number ...]: serves until SIGTERM, then shuts down.
do throws(SystemCallError) {
    try serve(Array(CommandLine.arguments.dropFirst()))
} catch {
    say("failed: \(error)")
    exit(1)
}
