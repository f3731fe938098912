import Foundation
import TestSupport
import Testing

@Suite struct RepositoryTests {
    @Test("the repository keeps the rule", arguments: Rule.all)
    func keeps(_ rule: Rule) throws {
        let tree = try Tree.repository.get()
        let findings = rule.findings(tree).filter { finding in
            !Exemption.all.contains { $0.covers(finding, of: rule) }
        }
        for finding in Set(findings).sorted() {
            Issue.record("\(finding)")
        }
    }

    @Test("each exemption is still needed and has a reason")
    func exemptions() throws {
        let tree = try Tree.repository.get()
        for exemption in Exemption.all {
            let rule = try #require(Rule.all.first { $0.name == exemption.rule })
            let isNeeded = rule.findings(tree).contains { exemption.covers($0, of: rule) }
            #expect(isNeeded && !exemption.reason.isEmpty, "\(exemption)")
        }
    }

    @Test("bash reads every script", .needs(.bash))
    func bashReads() throws {
        for script in try scripts() {
            let result = try run("bash", arguments: ["-n", PackageRoot.path(script)])
            #expect(result.succeeded, "\(script): \(result.errorOutput)")
        }
    }

    @Test("shellcheck has nothing to say on the scripts", .needs(.shellcheck))
    func shellcheck() throws {
        let result = try run(
            "shellcheck", arguments: ["--format=gcc", "--"] + scripts(),
            directory: PackageRoot.path)
        #expect(result.succeeded, "\(result.output)\(result.errorOutput)")
    }

    private func scripts() throws -> [String] {
        let files = try Tree.repository.get().files
        return try #require(files.filter { $0.language == .shell }.map(\.path).nonEmpty)
    }
}

@Suite struct TreeTests {
    @Test("the listing has what git tracks and leaves out what it ignores")
    func listing() throws {
        let tree = try Tree.repository.get()
        #expect(tree.paths.contains("Package.swift"))
        #expect(tree.folders.contains("Sources/LinuxKernel"))
        #expect(!tree.paths.contains { $0.hasPrefix(".build/") || $0.hasPrefix("build/") })
    }

    @Test("without git the checks fail and say so")
    func withoutGit() {
        #expect {
            try Tree.read(root: PackageRoot.path, git: "/no/git")
        } throws: { error in
            "\(error)".contains("by `git`, which does not start")
        }
    }

    @Test("outside of a clone the checks fail and say so", .needs(.git))
    func outsideOfClone() {
        #expect {
            try Tree.read(root: "/proc")
        } throws: { error in
            "\(error)".contains("which fails in `/proc`: run the tests in a clone")
        }
    }
}

extension Array {
    /// Itself, or nil when it is empty.
    fileprivate var nonEmpty: Self? { isEmpty ? nil : self }
}
