import HostNetwork
import LinuxKernel
import Netlink

// A node of namespaces alone, for `scripts/bench-network`: it says where its router is, and then
// does what it is told line by line, and says how long that took. As `tunnel …` it is a node where
// it is started, and tells what becomes of its proxies.

let arguments = Array(CommandLine.arguments.dropFirst())

do {
    if arguments.first == "tunnel" {
        try Tunnel(Array(arguments.dropFirst())).run()
        exitWithSuccess()
    }
    var probe = try Probe(path: arguments.first ?? "router")
    probe.introduce()
    while let line = readLine() {
        let words = line.split(separator: " ").map(String.init)
        if words.first == "end" { break }
        print(try probe.perform(words))
        flushOutput()
    }
    try probe.end()
} catch {
    print("failed: \(error)")
    exitWithFailure()
}
