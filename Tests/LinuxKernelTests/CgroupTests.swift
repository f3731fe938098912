import TestSupport
import Testing

@testable import LinuxKernel

@Suite struct CgroupTests {
    @Test("names in a control file are separated by spaces and lines")
    func words() {
        #expect(
            CgroupHierarchy.words(of: "cpu io memory pids\n") == ["cpu", "io", "memory", "pids"])
        #expect(CgroupHierarchy.words(of: "\n") == [])
        #expect(CgroupHierarchy.words(of: "") == [])
        #expect(CgroupHierarchy.words(of: " cpu  \n\nio") == ["cpu", "io"])
    }

    @Test("the hierarchy that is found is the one that is mounted")
    func hierarchy() {
        let found = CgroupHierarchy.detect()
        let isAtUsualPlace = [
            "/sys/fs/cgroup", "/sys/fs/cgroup/unified",
        ].contains(Host.cgroupFolder ?? "")
        #expect(found.root == (isAtUsualPlace ? Host.cgroupFolder : nil))
        #expect(found.controllers == (isAtUsualPlace ? Host.cgroupControllers : []))
        switch found.mode {
        case .unified: #expect(found.root == "/sys/fs/cgroup")
        case .hybrid: #expect(found.root == "/sys/fs/cgroup/unified")
        case .legacy: #expect(found.root == nil)
        }
    }

    /// A parent of this test's own, removed when the test is over.
    private func withParent(_ body: (borrowing CgroupParent, String) throws -> Void) throws {
        let hierarchy = CgroupHierarchy.detect()
        let root = try #require(hierarchy.root)
        var random = SystemRandomNumberGenerator()
        let name = "alcove-tests-\(ThisProcess.identifier)-\(random.next())"
        let top = try Files.open(root, [.path, .directory])
        try body(
            CgroupParent.open("\(root)/\(name)", below: hierarchy, delegating: []),
            "\(root)/\(name)")
        try Files.removeDirectory(name, at: top)
    }

    private func make(_ name: String, in parent: borrowing CgroupParent) throws -> Cgroup {
        guard let cgroup = try parent.create(name) else {
            throw SystemCallError(call: "flock", subject: name, errorNumber: .wouldBlock)
        }
        return cgroup
    }

    @Test("a cgroup is there until it is removed", .needs(.root, .cgroupV2))
    func life() throws {
        try withParent { parent, path in
            var cgroup = try make("sandbox-1", in: parent)
            #expect(Files.exists(path + "/sandbox-1"))
            #expect(try cgroup.read("cgroup.procs") == "")
            #expect(cgroup.number("populated", in: "cgroup.events") == 0)
            #expect(cgroup.number("none", in: "cgroup.events") == nil)
            #expect(cgroup.number("populated", in: "none") == nil)
            try cgroup.setFrozen(true)
            #expect(try cgroup.read("cgroup.freeze") == "1\n")
            try cgroup.setFrozen(false)
            #expect(throws: SystemCallError.self) { try cgroup.write("x", to: "cgroup.freeze") }
            try cgroup.remove()
            #expect(!Files.exists(path + "/sandbox-1"))
            #expect(throws: SystemCallError.self) { try cgroup.remove() }
        }
    }

    @Test("a cgroup whose owner is gone is removed", .needs(.root, .cgroupV2))
    func dropped() throws {
        try withParent { parent, path in
            do {
                let cgroup = try parent.create("sandbox-1")
                #expect(cgroup.number >= 10)
            }
            #expect(!Files.exists(path + "/sandbox-1"))
        }
    }

    @Test("a name that is taken is refused", .needs(.root, .cgroupV2))
    func taken() throws {
        try withParent { parent, _ in
            var first = try make("sandbox-1", in: parent)
            do throws(SystemCallError) {
                _ = try parent.create("sandbox-1")
                Issue.record("made twice")
            } catch {
                #expect(error.errorNumber == .exists)
            }
            try first.remove()
        }
    }

    @Test("a sweep removes what nobody holds, and nothing else", .needs(.root, .cgroupV2))
    func sweep() throws {
        try withParent { parent, path in
            let top = try Files.open(path, [.path, .directory])
            try Files.makeDirectory("sandbox-left", at: top)
            try Files.makeDirectory("other", at: top)
            var held = try make("sandbox-held", in: parent)
            #expect(parent.removeAbandoned() == ["sandbox-left"])
            #expect(parent.removeAbandoned() == [])
            #expect(Files.exists(path + "/sandbox-held") && Files.exists(path + "/other"))
            try held.remove()
            try Files.removeDirectory("other", at: top)
        }
    }
}
