import AgentAPI
import Foundation
import ImageStore
import LinuxKernel
import RPC
import SandboxModel
import TestSupport
import Testing

@testable import Agent

/// What the node's agent counts on of the store of images.
@Suite(.needs(.root, .sysAdmin, .erofs, .overlay)) struct NodeAgentImagesTests {
    /// A node whose store has an image `app` of one layer.
    private func node() throws -> (node: TestNode, image: Digest) {
        let node = try TestNode()
        return (node, try importImage(into: node, text: "one"))
    }

    private func importImage(into node: TestNode, text: String) throws -> Digest {
        let tree = try Folder()
        try FileManager.default.createDirectory(
            atPath: tree.path + "/etc", withIntermediateDirectories: false)
        try Data("app:x:7:8::/:/bin/sh\n".utf8).write(
            to: URL(fileURLWithPath: tree.path + "/etc/passwd"))
        try Data(text.utf8).write(to: URL(fileURLWithPath: tree.path + "/text"))
        let archive = try Folder()
        try SavedImage.make(
            archive.path + "/image.tar", layers: [tree.path],
            config: "\"Cmd\":[\"run\"],\"User\":\"app\",\"StopSignal\":\"SIGRTMIN+3\"",
            name: "app")
        let result = try node.agent.stored.depot.store.importImage(
            from: archive.path + "/image.tar")
        refresh(node)
        return result.image.identifier
    }

    private func refresh(_ node: TestNode) {
        var isDone = false
        node.agent.stored.refresh(on: node.agent) { _ in isDone = true }
        node.run { isDone }
    }

    private func notes(_ node: TestNode) throws -> [String] {
        try FileManager.default.contentsOfDirectory(
            atPath: node.agent.stored.depot.store.path + "/holds")
    }

    private func spec(_ image: String = "app") -> AgentAPI.SandboxSpec {
        AgentAPI.SandboxSpec(image: image)
    }

    @Test("a sandbox is made by what its image says, and says what that was")
    func resolved() throws {
        let (node, image) = try node()
        let managed = try node.create("a", spec())
        #expect(managed.spec.command == ["run"])
        #expect(managed.spec.user == .init(user: 7, group: 8))
        let told = managed.sandbox.resolved
        #expect(told?.image == "\(image)" && told?.user == "7:8" && told?.command == ["run"])
        #expect(managed.usualStopSignal == Signal(rawValue: 37))
        #expect(managed.sandbox.spec == spec())
        // The same again is the same sandbox, also once the name is another image's.
        _ = try importImage(into: node, text: "two")
        #expect(try node.create("a", spec()) === managed)
        #expect(try node.create("b", spec()).sandbox.resolved?.image != "\(image)")
    }

    @Test("an image is noted as used once, for as long as anything is to be removed")
    func holds() throws {
        let (node, image) = try node()
        let holds = node.agent.stored.depot.holds
        for id in ["a", "b"] { try node.create(id, spec()) }
        #expect(try notes(node) == ["agent.\(image.hexadecimal)"])
        let note = node.agent.stored.depot.store.path + "/holds/agent." + image.hexadecimal
        let written = try Files.status(of: note).inode
        holds.releaseIdle()
        #expect(throws: ImageError.self) {
            _ = try node.agent.stored.depot.store.remove("app")
        }
        for id in ["a", "b"] {
            try node.delete(#require(node.agent.registry[id]))
        }
        try node.create("c", spec())
        #expect(try Files.status(of: note).inode == written)
        try node.delete(#require(node.agent.registry["c"]))
        #expect(try notes(node).count == 1)
        holds.releaseIdle()
        #expect(try notes(node).isEmpty)
        #expect(try node.agent.stored.depot.store.remove("app").images == [image])
    }

    @Test("one whose image went behind the agent's back is refused, and reserves nothing")
    func gone() throws {
        let (node, _) = try node()
        _ = try node.agent.stored.depot.store.remove("app")
        let error = #expect(throws: CallFailure.self) { try node.create("a", spec()) }
        #expect(error?.reason == "image_missing" && error?.code == .failedPrecondition)
        #expect(node.agent.admission.count == 0 && node.agent.registry.count == 0)
        refresh(node)
        #expect(throws: CallFailure.self) { try node.create("a", spec()) }
        #expect(try notes(node).isEmpty)
    }

    @Test("the next agent counts uses anew, whatever notes there are")
    func restart() throws {
        let (node, image) = try node()
        let managed = try node.create("a", spec())
        try node.start(managed)
        let other = try importImage(into: node, text: "two")
        try node.agent.stored.depot.store.hold(other, for: "agent.\(other.hexadecimal)")
        try node.agent.stored.depot.store.hold(other, for: "somebody")
        try node.restart()
        #expect(try Set(notes(node)) == ["agent.\(image.hexadecimal)", "somebody"])
        #expect(node.agent.imageUsers() == [image: ["a"]])
        let adopted = try #require(node.agent.registry["a"])
        #expect(adopted.spec.user == .init(user: 7, group: 8) && adopted.spec.command == ["run"])
        try node.stop(adopted)
        try node.delete(adopted)
        node.agent.stored.depot.holds.releaseIdle()
        #expect(try notes(node) == ["somebody"])
    }

    @Test(
        "an image's stop signal is known by every name that tools write",
        arguments: [
            ("SIGTERM", 15), ("TERM", 15), ("9", 9), ("SIGRTMIN+3", 37), ("RTMIN+30", 64),
            ("", nil), ("SIG", nil), ("0", nil), ("65", nil), ("RTMIN+31", nil), ("term", nil),
            ("RTMIN+2147483647", nil),
        ] as [(String, Int32?)])
    func signals(name: String, number: Int32?) {
        #expect(Signal(named: name)?.rawValue == number)
    }
}
