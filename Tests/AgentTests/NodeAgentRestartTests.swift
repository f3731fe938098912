import AgentAPI
import Foundation
import LinuxKernel
import RPC
import SandboxModel
import Testing

@testable import Agent
@testable import Store

/// What the next agent makes of what one left that was gone from one moment to the next.
@Suite struct NodeAgentRestartTests {
    private func managed(_ node: TestNode, _ id: String) throws -> ManagedSandbox {
        try #require(node.agent.registry[id])
    }

    @Test("what runs, is paused or was created goes on, and what has ended has its end")
    func goesOn() throws {
        let node = try TestNode()
        for id in ["created", "running", "paused", "ended"] {
            let managed = try node.create(id, TestNode.spec(memory: 64 << 20))
            if id != "created" { try node.start(managed) }
        }
        try node.setPaused(managed(node, "paused"), true)
        let ending = try node.process(of: managed(node, "ended"))
        let reserved = node.agent.admission.reserved
        try node.restart()
        #expect(node.agent.admission.reserved == reserved)
        ending.exit(code: 0)
        try node.restart()
        try node.settle()
        #expect(try managed(node, "created").state == .created)
        #expect(try managed(node, "running").state == .running)
        #expect(try managed(node, "paused").state == .paused)
        #expect(try managed(node, "ended").state == .stopped)
        try node.start(managed(node, "created"))
        try node.setPaused(managed(node, "paused"), false)
        try node.stop(managed(node, "running"))
        try node.delete(managed(node, "ended"))
        #expect(node.agent.admission.count == 2)
    }

    @Test("images are there after a restart, and sandboxes of them")
    func images() throws {
        let node = try TestNode()
        let image = Image(name: "base", directory: "/")
        try node.agent.journal.commit { $0.put(image) }
        node.agent.images.insert(image)
        try node.create("a", TestNode.spec(image: "base"))
        try node.restart()
        #expect(node.agent.images.names == ["base"])
        try node.start(managed(node, "a"))
    }

    @Test("one whose image or user is gone keeps no agent from starting, and is refused a start")
    func imageGone() throws {
        let node = try TestNode()
        let tree = try Folder()
        try FileManager.default.createDirectory(
            atPath: "\(tree.path)/etc", withIntermediateDirectories: false)
        let users = URL(fileURLWithPath: "\(tree.path)/etc/passwd")
        try Data("worker:x:7:8::/:/bin/sh\n".utf8).write(to: users)
        for id in ["running", "created"] {
            try node.create(id, TestNode.spec(image: tree.path, user: "worker"))
        }
        try node.start(managed(node, "running"))
        #expect(try managed(node, "running").spec.user == .init(user: 7, group: 8))
        try FileManager.default.removeItem(at: users)
        try node.restart()
        #expect(try managed(node, "running").state == .running)
        let error = #expect(throws: CallFailure.self) {
            try node.start(managed(node, "created"))
        }
        #expect(error?.code == .failedPrecondition && error?.reason == "user_missing")
        #expect(try managed(node, "created").state == .created)
        #expect(node.agent.gate.inFlightCount == 0)
        try Data("worker:x:9:9::/:/bin/sh\n".utf8).write(to: users)
        try node.start(managed(node, "created"))
        #expect(try managed(node, "created").spec.user == .init(user: 9, group: 9))
    }

    @Test("a change of limits that was under way is brought to its end")
    func limits() throws {
        for isDone in [true, false] {
            let node = try TestNode()
            let before = try node.create("a", TestNode.spec(memory: 64 << 20))
            try node.start(before)
            let process = try node.process(of: before)
            if !isDone { node.world.fail(.update) }
            // Its answer never comes back to the agent.
            node.agent.update(before, Limits(memoryBytes: 128 << 20), .bestEffort) { _ in }
            node.world.waitFor(.update, count: 1)
            node.world.failNothing()
            try node.restart()
            let managed = try managed(node, "a")
            #expect(process.limits.memoryBytes == 128 << 20)
            #expect(managed.spec.limits.memoryBytes == 128 << 20)
            #expect(node.agent.admission.reserved.memoryBytes == (128 + 1) << 20)
            #expect(try node.storedIDs(.limitChange) == [])
            let stored: [String: Sandbox] = try node.stored(.sandbox)
            #expect(stored["a"]?.spec?.limits?.memoryBytes == 128 << 20)
        }
    }

    @Test("one whose limits were changed is still the one that was asked for")
    func requested() throws {
        let node = try TestNode()
        let spec = TestNode.spec(memory: 64 << 20)
        let before = try node.create("a", spec)
        try node.start(before)
        try node.update(before, memory: 128 << 20)
        try node.create("a", spec)
        try node.restart()
        try node.create("a", spec)
        #expect(try managed(node, "a").spec.limits.memoryBytes == 128 << 20)
        try node.delete(managed(node, "a"), force: true)
        #expect(try node.storedIDs(.requested) == [])
    }

    @Test("what an earlier agent left is cleared before a start, never after")
    func remains() throws {
        let node = try TestNode()
        try node.create("a")
        try node.restart(holding: .clear)
        let managed = try managed(node, "a")
        var hasStarted = false
        node.agent.start(managed, deadline: nil) { _ in hasStarted = true }
        node.world.releaseAll()
        node.run { hasStarted }
        try node.settle()
        #expect(try managed.state == .running && node.process(of: managed).phase == .running)
    }

    @Test("a removal that was decided is done, and a start that was not done is taken back")
    func halfDone() throws {
        let node = try TestNode()
        let removed = try node.create("removed")
        try node.start(removed)
        let starting = try node.create("starting")
        node.world.hold(.start)
        node.agent.start(starting, deadline: nil) { _ in }
        node.agent.delete(removed, force: true) { _ in }
        // The spawner is left behind while it holds on to its start: nothing of it has begun.
        node.world.fail(.start)
        try node.restart()
        try node.settle()
        #expect(node.agent.registry["removed"] == nil)
        #expect(try managed(node, "starting").state == .created)
        #expect(node.world.processes.isEmpty && node.agent.admission.count == 1)
    }

    @Test("a drain goes on after a restart")
    func drain() throws {
        let node = try TestNode()
        let managed = try node.create("a")
        try node.start(managed)
        try node.agent.beginDrain(within: nil)
        try node.restart()
        #expect(throws: CallFailure.self) { try node.create("b") }
        #expect(node.agent.drain?.isDone == false && node.agent.remaining == 1)
        try node.stop(try self.managed(node, "a"))
        #expect(node.agent.drain?.isDone == true)
    }

    @Test("an outcome that could not be written down is found again by the next agent")
    func unwrittenOutcome() throws {
        let node = try TestNode()
        for id in ["ended", "removed"] { try node.start(try node.create(id)) }
        let number = try managed(node, "ended").number
        node.agent.delete(try managed(node, "removed"), force: true) { _ in }
        try node.breakRecord()
        for process in node.world.processes.values { process.exit(code: 7) }
        node.run { node.agent.registry["removed"] == nil }
        try node.settle()
        #expect(try managed(node, "ended").state == .stopped)
        // What it can be told from stays, and nothing of one that nobody asks for.
        #expect(Array(node.world.processes.keys) == [number])
        try node.restart()
        try node.settle()
        #expect(try managed(node, "ended").sandbox.outcome?.exitCode == 7)
        #expect(node.agent.registry["removed"] == nil && node.world.processes.isEmpty)
    }

    @Test("with an empty record, sandboxes are what their folders and processes say")
    func emptyRecord() throws {
        let node = try TestNode { $0.sandboxesLimit = 10 }
        for id in ["created", "running", "paused", "ended", "deleted"] { try node.create(id) }
        for id in ["running", "paused", "ended", "deleted"] {
            try node.start(try managed(node, id))
        }
        try node.setPaused(try managed(node, "paused"), true)
        try node.update(try managed(node, "running"), memory: 128 << 20)
        try node.process(of: managed(node, "ended")).exit(code: 7)
        try node.settle()
        try node.delete(try managed(node, "deleted"), force: true)
        let spec = try managed(node, "running").sandbox.spec
        let number = try managed(node, "running").number
        let reserved = node.agent.admission.reserved
        try node.restart(losesRecord: true)
        try node.settle()
        #expect(try managed(node, "created").state == .created)
        #expect(try managed(node, "running").state == .running)
        #expect(try managed(node, "running").sandbox.spec == spec)
        #expect(try managed(node, "running").number == number)
        #expect(try managed(node, "paused").state == .paused)
        #expect(try managed(node, "ended").state == .stopped)
        #expect(node.agent.registry["deleted"] == nil && node.agent.registry.count == 4)
        #expect(node.agent.admission.reserved == reserved)
        // Numbers go on behind those that are there, also over another restart.
        #expect(try node.create("new").number > number)
        try node.restart()
        try node.settle()
        #expect(try node.create("newer").number > managed(node, "new").number)
        #expect(node.agent.registry.count == 6 && node.world.violations == [])
    }

    @Test("what is left of an end is cleared once the end is written down")
    func clearedLater() throws {
        let node = try TestNode()
        let managed = try node.create("a")
        try node.start(managed)
        try node.breakRecord()
        try node.process(of: managed).exit(code: 7)
        node.run { managed.state.hasEnded }
        try node.settle()
        #expect(node.world.processes.count == 1)
        node.repairRecord()
        node.run { node.agent.journal.failure == nil }
        try node.settle()
        #expect(node.world.processes.isEmpty)
    }

    @Test("one whose set-up went on meanwhile is starting still")
    func settingUp() throws {
        let node = try TestNode()
        for id in ["runs", "fails"] {
            node.world.plan([.waits])
            let managed = try node.create(id)
            node.agent.start(managed, deadline: nil) { _ in }
            node.world.waitFor(.start, count: id == "runs" ? 1 : 2)
            try node.settle()
        }
        try node.restart()
        try node.settle()
        var answers: [Bool] = []
        for id in ["runs", "fails"] {
            let managed = try managed(node, id)
            #expect(managed.state == .starting)
            node.agent.start(managed, deadline: nil) { result in
                if case .success = result { answers.append(true) } else { answers.append(false) }
            }
        }
        try node.process(of: managed(node, "runs")).run()
        node.run { answers == [true] }
        try node.process(of: managed(node, "fails")).failInSetUp()
        node.run { answers == [true, false] }
        #expect(try managed(node, "runs").state == .running)
        #expect(try managed(node, "fails").state == .failed)
    }

    @Test("one whose start nobody would tell of is adopted as running")
    func silent() throws {
        let node = try TestNode()
        node.world.plan([.waits])
        node.agent.start(try node.create("a"), deadline: nil) { _ in }
        node.world.waitFor(.start, count: 1)
        try node.settle()
        node.world.keepSilent()
        try node.restart()
        let managed = try managed(node, "a")
        #expect(managed.state == .running)
        try node.process(of: managed).failInSetUp()
        node.run { managed.state.hasEnded }
        #expect(managed.state == .failed)
    }
}
