import LinuxKernel
import Netlink
import TestSupport
import Testing

@Suite(.needs(.root, .netAdmin, .sysAdmin)) struct NetlinkSocketTests {
    @Test("a failure says what failed, on what, and the kernel's own words")
    func words() throws {
        let network = try TestNetwork()
        let error = try #require(throws: NetlinkError.self) {
            try network.perform {
                $0.addRoute(
                    Route(
                        to: .everything, via: IPv4Address(10, 0, 0, 1),
                        through: InterfaceIndex(rawValue: 1)))
            }
        }
        #expect(error.action == "add route" && error.subject == "0.0.0.0/0")
        #expect(error.errorNumber.rawValue == 101)
        #expect(
            error.description
                == "add route `0.0.0.0/0`: Network is unreachable (Nexthop has invalid gateway)")
    }

    @Test("of a batch each request that fails is told of, and the others are performed")
    func batches() throws {
        let network = try TestNetwork()
        var batch = NetlinkBatch()
        batch.deleteLink(named: "none")
        batch.makeVeth(LinkPlan("a"), peer: LinkPlan("b"))
        batch.makeVeth(LinkPlan("a"), peer: LinkPlan("c"))
        batch.makeVeth(LinkPlan("d"), peer: LinkPlan("e"))
        batch.deleteLink(named: "neither")
        let failures = try network.socket.failures(of: batch)
        #expect(failures.map(\.index) == [0, 2, 4])
        #expect(failures.map(\.error.subject) == ["none", "a", "neither"])
        #expect(failures.map(\.error.errorNumber) == [.noSuchDevice, .exists, .noSuchDevice])
        #expect(Set(try network.socket.links().map(\.name)) == ["lo", "a", "b", "d", "e"])
        // The exchange after it is its own.
        try network.perform { $0.deleteLink(named: "a") }
        try network.socket.perform(NetlinkBatch())
    }

    @Test("a batch of a thousand requests goes in one piece, and lists come back whole")
    func large() throws {
        let network = try TestNetwork()
        try network.perform { batch in
            for number in UInt32(0)..<1000 {
                batch.addRoute(
                    Route(
                        to: IPv4Prefix(IPv4Address(10, 0, 0, 0).advanced(by: number)),
                        kind: .blackhole, table: 77))
            }
        }
        let routes = try network.socket.routes(table: 77)
        #expect(Set(routes.map(\.destination)).count == 1000)
        #expect(try network.socket.routes(table: 78).isEmpty)
    }

    @Test("threads that share a socket get each their own answers")
    func shared() throws {
        let network = try TestNetwork()
        let wrong = Locked(0)
        var threads: [ThreadBox] = []
        for thread in UInt32(0)..<4 {
            threads.append(
                try ThreadBox {
                    for number in UInt32(0)..<200 {
                        var batch = NetlinkBatch()
                        let table = 100 + thread
                        let name = "t\(table)-\(number)"
                        batch.deleteLink(named: name)
                        batch.addRoute(
                            Route(
                                to: IPv4Prefix(IPv4Address(rawValue: number)), kind: .blackhole,
                                table: table))
                        let failures = try? network.socket.failures(of: batch)
                        if failures?.map(\.error.subject) != [name] { wrong.with { $0 += 1 } }
                    }
                })
        }
        for thread in threads { thread.join() }
        #expect(wrong.with { $0 } == 0)
        for table in UInt32(100)..<104 {
            #expect(try network.socket.routes(table: table).count == 200)
        }
    }
}

/// A thread that a list can hold.
private final class ThreadBox {
    private var thread: KernelThread?

    init(_ body: @escaping @Sendable () -> Void) throws {
        thread = try KernelThread(named: "netlink", body)
    }

    func join() { thread.take()?.join() }
}
