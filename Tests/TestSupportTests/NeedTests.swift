import Foundation
@testable import TestSupport
import Testing

@Suite struct NeedTests {
    @Test("a test whose needs are met runs", .needs(.bash))
    func met() {
        #expect(Need.bash.isMet)
    }

    @Test("a list names needs, and what names none is told")
    func list() {
        let required = RequiredNeeds("kvm, net-admin,gold")
        #expect(required.needs == [.kvm, .netAdmin])
        #expect(required.unknown == ["gold"])
        #expect(RequiredNeeds("all").needs == Set(Need.allCases))
        #expect(RequiredNeeds("").needs.isEmpty)
    }

    @Test("a missing need skips the test, unless it is required here")
    func verdict() throws {
        #expect(try RequiredNeeds("").permits(missing: []))
        #expect(try !RequiredNeeds("root").permits(missing: [.kvm]))
        #expect(throws: RequiredNeedMissing(need: .kvm)) {
            try RequiredNeeds("root,kvm").permits(missing: [.strace, .kvm])
        }
        #expect(
            "\(RequiredNeedMissing(need: .kvm))"
                == "needs a `/dev/kvm` that opens, and ALCOVE_NEEDS_REQUIRED names `kvm`")
    }

    @Test("ALCOVE_NEEDS_REQUIRED of this run names only needs that exist")
    func environmentIsKnown() {
        #expect(RequiredNeeds.ofEnvironment.unknown == [])
    }

    @Test("each need has a name and a sentence of its own")
    func names() {
        #expect(Set(Need.allCases.map(\.sentence)).count == Need.allCases.count)
        #expect(Need.allCases.allSatisfy { $0.sentence.hasPrefix("needs ") })
    }
}

@Suite struct ProductsTests {
    @Test("the package's root holds the manifest")
    func root() {
        #expect(FileManager.default.fileExists(atPath: PackageRoot.path("Package.swift")))
    }

    @Test("a program that is not built is an error that names the command")
    func missing() {
        #expect {
            try Products.releasePath("no-such-program")
        } throws: { error in
            "\(error)".hasSuffix("is not built: run `scripts/build`")
        }
    }
}
