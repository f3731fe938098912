import AgentAPI
import AgentOperations
import Foundation
import LinuxKernel
import ProtocolBuffers
import RPC
import SandboxModel
import Testing

@testable import Agent
@testable import Store

/// A node agent with its record in a folder, its threads, and a world below it. Its loop is run by
/// the test, on the test's thread.
final class TestNode {
    let world: FakeWorld
    private(set) var folder: Folder
    private(set) var agent: NodeAgent
    private(set) var loop: EventLoop
    private var settings: NodeSettings
    private var fault: RecordFault?

    init(_ change: (inout NodeSettings) -> Void = { _ in }) throws {
        world = try FakeWorld()
        folder = try Folder()
        settings = NodeSettings()
        settings.startsInFlight = 2
        settings.startsQueued = 4
        settings.startQueueTimeout = .seconds(3600)
        change(&settings)
        (agent, loop) = try Self.begin(&settings, folder, world)
    }

    deinit { stopThreads() }

    private static func begin(
        _ settings: inout NodeSettings, _ folder: Folder, _ world: FakeWorld
    ) throws -> (NodeAgent, EventLoop) {
        settings.stateDirectory = folder.path
        settings.scratchDirectory = folder.path
        let loop = try EventLoop(named: "test")
        var checkpoints = CheckpointLimits()
        checkpoints.inBackground = false
        let store = try Store.open(directory: folder.path, checkpoints: checkpoints)
        let agent = try NodeAgent(
            loop: loop, settings: settings, store: store, engines: [FakeEngine(world)],
            spawner: try Workers(threads: 1, queue: 100),
            workers: try Workers(threads: 2, queue: 100),
            undertakers: try Workers(threads: 2, queue: 100),
            log: Log(level: .error, format: .text),
            metrics: AgentMetrics(version: "test", methods: []), death: nil)
        try agent.recover()
        return (agent, loop)
    }

    private func stopThreads() {
        world.releaseAll()
        for threads in [agent.spawner, agent.workers, agent.undertakers] {
            threads.stop(dropsWaiting: true)
        }
        agent.stored.depot.close()
    }

    /// The agent is gone from one moment to the next, and another one finds its record.
    ///
    /// - Parameters:
    ///   - call: which calls of the new one wait.
    ///   - losesRecord: what it finds is an empty one.
    func restart(holding call: FakeWorld.Call? = nil, losesRecord: Bool = false) throws {
        repairRecord()
        stopThreads()
        if let call { world.hold(call) }
        // The old one may still have its record open.
        let copy = try Folder()
        for name in ["alcove.db", "alcove.db-wal"] where !losesRecord {
            try FileManager.default.copyItem(
                atPath: "\(folder.path)/\(name)", toPath: "\(copy.path)/\(name)")
        }
        // Moved, as what is imported is mounted.
        try FileManager.default.moveItem(
            atPath: folder.path + "/images", toPath: copy.path + "/images")
        folder = copy
        (agent, loop) = try Self.begin(&settings, folder, world)
    }

    // MARK: - Time

    /// Goes on until something is so.
    func run(until isDone: () -> Bool) {
        loop.runOnThisThread(until: isDone)
    }

    /// Goes on until nothing is left to do but what others would have to do. Nothing may be held.
    func settle() throws {
        for _ in 0..<3 {
            repeat {
                passAll()
                try takeTurn()
            } while agent.registry.all.contains { $0.isBusy || $0.isSpawning || !$0.isCreated }
        }
    }

    /// Once, all that is ready is told.
    func takeTurn() throws {
        let counter = try EventCounter()
        counter.signal()
        var isTold = false
        let watch = try loop.watch(counter.descriptor.rawValue, for: .readable) { _ in
            isTold = true
        }
        run { isTold }
        watch.cancel()
    }

    /// Until all that is with the threads now has come back.
    private func passAll() {
        let open = Locked(0)
        let loop = loop
        for threads in [agent.spawner, agent.workers, agent.undertakers] {
            open.with { $0 += 1 }
            threads.run { loop.enqueue { open.with { $0 -= 1 } } }
        }
        run { open.with { $0 } == 0 }
    }

    // MARK: - The record

    func breakRecord() throws {
        guard fault == nil else { return }
        fault = try RecordFault(folder)
    }

    /// What waited to be written is, from the next change on.
    func repairRecord() {
        fault?.end()
        fault = nil
    }

    var recordIsBroken: Bool { fault != nil }

    func stored<Value: Message>(_ kind: RecordKind) throws -> [String: Value] {
        var values: [String: Value] = [:]
        for record in try agent.journal.store.records(of: kind) {
            values[record.id] = try Value(decoding: record.bytes)
        }
        return values
    }

    func storedIDs(_ kind: RecordKind) throws -> Set<String> {
        Set(try agent.journal.store.records(of: kind).map(\.id))
    }

    // MARK: - Calls that wait for their answers

    static func spec(
        memory: UInt64? = nil, image: String = "/", user: String = ""
    ) -> AgentAPI.SandboxSpec {
        var spec = AgentAPI.SandboxSpec(image: image, command: ["true"])
        spec.user = user
        if let memory { spec.limits = AgentAPI.Limits(memoryBytes: memory) }
        return spec
    }

    static func specOnDisk(_ bytes: UInt64) -> AgentAPI.SandboxSpec {
        var spec = spec()
        spec.scratchPlace = .disk
        spec.scratchBytes = bytes
        return spec
    }

    private func answer<Value>(
        _ call: (@escaping (Result<Value, CallFailure>) -> Void) -> Void
    ) throws -> Value {
        var results: [Result<Value, CallFailure>] = []
        call { results.append($0) }
        run { !results.isEmpty }
        try settle()
        #expect(results.count == 1)
        return try results[0].get()
    }

    @discardableResult
    func create(
        _ id: String, _ spec: AgentAPI.SandboxSpec = TestNode.spec()
    ) throws -> ManagedSandbox {
        _ = try answer { agent.create(id, spec, then: $0) }
        return try #require(agent.registry[id])
    }

    func start(_ managed: ManagedSandbox) throws {
        try answer { agent.start(managed, deadline: nil, then: $0) }
    }

    func stop(_ managed: ManagedSandbox, grace: Duration? = nil) throws {
        try answer { agent.stop(managed, grace: grace, signal: nil, then: $0) }
    }

    func delete(_ managed: ManagedSandbox, force: Bool = false) throws {
        try answer { agent.delete(managed, force: force, then: $0) }
    }

    func setPaused(_ managed: ManagedSandbox, _ paused: Bool) throws {
        try answer { agent.setPaused(managed, paused, then: $0) }
    }

    func update(
        _ managed: ManagedSandbox, memory: UInt64,
        policy: AgentAPI.LimitPolicy = .bestEffort
    ) throws {
        try answer {
            agent.update(managed, AgentAPI.Limits(memoryBytes: memory), policy, then: $0)
        }
    }

    func process(of managed: ManagedSandbox) throws -> FakeProcess {
        try #require(world.process(managed.number))
    }
}

/// Makes every write of a record fail, as another program with the file could.
final class RecordFault {
    private let connection: Connection
    private static let tables = ["records", "events", "entries"]

    init(_ folder: Folder) throws {
        connection = try Connection(path: "\(folder.path)/alcove.db")
        for table in Self.tables {
            try connection.execute(
                """
                CREATE TRIGGER fault_\(table) BEFORE INSERT ON \(table)
                BEGIN SELECT RAISE(ABORT, 'made to fail'); END
                """)
        }
    }

    func end() {
        for table in Self.tables { try? connection.execute("DROP TRIGGER fault_\(table)") }
    }
}
