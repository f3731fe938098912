import Foundation
import LinuxKernel
import TestSupport
import Testing

@Suite(.needs(.root, .netAdmin, .sysAdmin)) struct NetworkNamespaceTests {
    private let path = FileManager.default.temporaryDirectory
        .appendingPathComponent("namespace-\(UUID().uuidString)").path

    @Test("one that is pinned is there again, though nobody was in it, until it is unpinned")
    func pinned() throws {
        #expect(try NetworkNamespace.pinned(at: path) == nil)
        var made: NetworkNamespace? = try NetworkNamespace.make(count: 1).first
        try made?.pin(at: path)
        try made?.write([("ipv4/ip_forward", "1")])
        made = nil
        let again = try #require(try NetworkNamespace.pinned(at: path))
        let forwards = try again.enter { () throws(SystemCallError) in
            try Files.read("/proc/sys/net/ipv4/ip_forward")
        }
        #expect(forwards == "1\n")
        try NetworkNamespace.unpin(path)
        #expect(try NetworkNamespace.pinned(at: path) == nil)
        #expect(!FileManager.default.fileExists(atPath: path))
        try NetworkNamespace.unpin(path)
    }

    @Test("a file that is no namespace is not taken for one")
    func plainFile() throws {
        try Data().write(to: URL(fileURLWithPath: path))
        #expect(try NetworkNamespace.pinned(at: path) == nil)
        try NetworkNamespace.unpin(path)
    }

    @Test("the current one is the one of the thread")
    func current() throws {
        let made = try #require(try NetworkNamespace.make(count: 1).first)
        let outside = try NetworkNamespace.current()
        let inside = try made.enter { () throws(SystemCallError) in
            try NetworkNamespace.current()
        }
        #expect(try name(made) == name(inside))
        #expect(try name(made) != name(outside))
    }

    private func name(_ namespace: NetworkNamespace) throws -> String {
        try Files.linkTarget("/proc/self/fd/\(namespace.descriptor)")
    }
}
