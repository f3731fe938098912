import Foundation
import LinuxKernel
import Netlink
import TestSupport
import Testing

/// A network namespace of the test's own, which goes away with its last user.
struct TestNetwork {
    let namespace: NetworkNamespace
    let socket: NetlinkSocket

    init() throws {
        namespace = try #require(try NetworkNamespace.make(count: 1).first)
        socket = try NetlinkSocket(.route, in: namespace)
    }

    func perform(_ body: (inout NetlinkBatch) -> Void) throws(NetlinkError) {
        var batch = NetlinkBatch()
        body(&batch)
        try socket.perform(batch)
    }

    /// What a program says that looks at the namespace.
    func tell(_ program: String, _ arguments: [String]) throws -> String {
        let path = "/proc/\(ProcessInfo.processInfo.processIdentifier)/fd/\(namespace.descriptor)"
        let result = try run("nsenter", arguments: ["--net=\(path)", program] + arguments)
        try #require(result.succeeded, "\(result)")
        return result.output
    }

    func link(_ name: String) throws -> Link {
        try #require(try socket.links().first { $0.name == name })
    }
}
