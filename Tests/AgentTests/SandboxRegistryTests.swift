import AgentAPI
import SandboxModel
import TestSupport
import Testing

@testable import Agent

@Suite struct SandboxRegistryTests {
    private static func sandbox(
        _ id: String, on engine: FakeEngine
    ) -> ManagedSandbox {
        ManagedSandbox(
            number: 1, sandbox: Sandbox(id: id), spec: SandboxSpec(image: "/", command: ["true"]),
            engine: engine, lifecycle: SandboxLifecycle())
    }

    @Test("pages come in the order of ids and miss none", arguments: [1, 2, 3] as [UInt64])
    func pages(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let engine = FakeEngine(try FakeWorld())
        var registry = SandboxRegistry()
        var ids: Set<String> = []
        for _ in 0..<300 {
            let id = "s\(Int.random(in: 0..<200, using: &random))"
            if let known = registry[id] {
                registry.remove(known)
                registry.remove(known)
                ids.remove(id)
            } else {
                registry.insert(Self.sandbox(id, on: engine))
                ids.insert(id)
            }
        }
        #expect(registry.count == ids.count && registry.all.map(\.id) == ids.sorted())
        let wanted = { (sandbox: ManagedSandbox) in !sandbox.id.hasSuffix("7") }
        for limit in [1, 3, 1000] {
            var found: [String] = []
            var more = true
            while more {
                let answer = registry.page(
                    after: found.last ?? "", limit: limit, where: wanted)
                found += answer.page.map(\.id)
                more = answer.more
                #expect(answer.page.count <= limit && (!more || answer.page.count == limit))
            }
            #expect(found == ids.sorted().filter { !$0.hasSuffix("7") })
        }
        // From an id that is not there.
        #expect(registry.page(after: "a", limit: 1000) { _ in true }.page.count == ids.count)
        #expect(registry.page(after: "t", limit: 1000) { _ in true }.page.isEmpty)
    }

    @Test("an id belongs to one sandbox")
    func oneOwner() async {
        await #expect(processExitsWith: .failure) {
            let engine = FakeEngine(try FakeWorld())
            var registry = SandboxRegistry()
            registry.insert(SandboxRegistryTests.sandbox("a", on: engine))
            registry.insert(SandboxRegistryTests.sandbox("a", on: engine))
        }
    }

    @Test("those who wait are told once, in the order in which they came, but for who left")
    func waiters() {
        var waiters = Waiters<Int>()
        var told: [Int] = []
        let tokens = (0..<100).map { index in
            waiters.add { told.append(index * 1000 + $0) }
        }
        for index in stride(from: 0, to: 100, by: 3) { waiters.remove(tokens[index]) }
        waiters.remove(tokens[0])
        for tell in waiters.take() { tell(7) }
        #expect(told == (0..<100).filter { $0 % 3 != 0 }.map { $0 * 1000 + 7 })
        #expect(waiters.count == 0 && waiters.take().isEmpty)
    }

    @Test("100,000 can wait, and leave one by one")
    func manyWaiters() {
        var waiters = Waiters<Void>()
        let tokens = (0..<100_000).map { _ in waiters.add {} }
        for token in tokens { waiters.remove(token) }
        #expect(waiters.count == 0)
    }
}
