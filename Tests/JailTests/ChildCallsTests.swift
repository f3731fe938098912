import Foundation
import LinuxKernel
import SandboxModel
import TestSupport
import Testing

@testable import Jail

/// The calls that a child makes between `clone3` and `execveat`, but for those that depend on the
/// kernel: dropping each capability, and hiding and protecting what this kernel has in `/proc`.
///
/// Where another number is found, look at `alcove plan --calls` whether each call is wanted, then
/// write it here.
private enum Expected {
    static let readOnly = 72
    static let writable = 85
    static let userNamespace = 102
    static let terminal = 89
    static let pooled = 84
    static let failingCalls = 83
}

@Suite struct ChildCallsTests {
    private func calls(
        _ network: SandboxPlan.Network = .new, _ change: (inout SandboxSpec) -> Void
    ) throws -> [(step: Int, name: String)] {
        let image = try TreeFixture()
        try image.write("bin/app", "", permissions: 0o755)
        for name in ["proc", "dev", "tmp"] { try image.makeFolder(name) }
        var spec = SandboxSpec(image: image.path, command: ["/bin/app"])
        change(&spec)
        let prepared = try PreparedSandbox(
            spec, image: .open(image.path), on: .forPlanning(), network: network)
        #expect(prepared.childCalls.map(\.step) == prepared.childCalls.map(\.step).sorted())
        #expect(prepared.childCalls.last?.name == "execveat")
        #expect(!prepared.childCalls.contains { $0.name == "mark" })
        return prepared.childCalls.filter { call in
            switch prepared.plan.steps[call.step] {
            case .mask, .protect, .dropBoundingSet: false
            default: true
            }
        }
    }

    @Test("hiding takes a call for each path and one for the first directory, protecting two each")
    func kernelPart() throws {
        let image = try TreeFixture()
        try image.write("bin/app", "", permissions: 0o755)
        let prepared = try PreparedSandbox(
            SandboxSpec(image: image.path, command: ["/bin/app"]), image: .open(image.path),
            on: .forPlanning())
        let masked = MaskedPath.candidates.filter { Files.exists($0.path) }
        let protected = MaskedPath.readOnlyCandidates.filter { Files.exists($0) }
        let firstDirectory = masked.contains { $0.kind == .directory } ? 1 : 0
        let counts = prepared.plan.steps.indices.map { step in
            prepared.childCalls.count { $0.step == step }
        }
        let maskStep = try #require(prepared.plan.steps.firstIndex(of: .mask(paths: masked)))
        #expect(counts[maskStep] == masked.count + firstDirectory)
        #expect(counts[maskStep + 1] == 2 * protected.count)
    }

    @Test("a child on a read-only root makes exactly this many calls")
    func readOnly() throws {
        let count = try calls { $0.root = .readOnly }.count
        #expect(count == Expected.readOnly)
    }

    @Test("a child on a writable root makes exactly this many calls")
    func writable() throws {
        let count = try calls { $0.root = .writable }.count
        #expect(count == Expected.writable)
    }

    @Test("a child in a user namespace makes exactly this many calls")
    func userNamespace() throws {
        let count = try calls {
            $0.identityMaps = [.init(inside: 0, outside: 100_000, count: 10)]
        }.count
        #expect(count == Expected.userNamespace)
    }

    @Test("a child with a terminal makes exactly this many calls")
    func terminal() throws {
        let count = try calls { $0.terminal = true }.count
        #expect(count == Expected.terminal)
    }

    @Test("a child that joins a network namespace made ahead makes exactly this many calls")
    func pooled() throws {
        let count = try calls(.pooled) { _ in }.count
        #expect(count == Expected.pooled)
    }

    @Test("a child without a listener for denied calls makes exactly this many calls")
    func failingCalls() throws {
        let count = try calls { $0.deniedCalls = .errno }.count
        #expect(count == Expected.failingCalls)
    }
}
