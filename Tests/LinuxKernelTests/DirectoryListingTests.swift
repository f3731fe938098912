import TestSupport
import Testing

@testable import LinuxKernel

@Suite struct DirectoryListingTests {
    /// A record as `getdents64` gives it: padded to 8 bytes, the name ended by zero.
    private func record(_ name: String) -> [UInt8] {
        let length = (19 + name.utf8.count + 1 + 7) / 8 * 8
        var bytes = [UInt8](repeating: 0xee, count: 16)
        bytes += [UInt8(length & 0xff), UInt8(length >> 8), 8] + Array(name.utf8)
        return bytes + [UInt8](repeating: 0, count: length - bytes.count)
    }

    private let names = ["a", "file.txt", "ä€", String(repeating: "x", count: 255), "1234"]

    @Test("names come in the order of the block, without `.` and `..`")
    func golden() {
        let block = record(".") + names.flatMap(record) + record("..") + record("last")
        #expect(DirectoryListing.parse(block) == names + ["last"])
        #expect(DirectoryListing.parse([]) == [])
    }

    @Test("a block cut anywhere gives the whole records before the cut")
    func truncated() {
        let block = names.flatMap(record)
        var ends = [0]
        for name in names { ends.append((ends.last ?? 0) + record(name).count) }
        for count in 0...block.count {
            let whole = ends.dropFirst().prefix { $0 <= count }.count
            #expect(DirectoryListing.parse(Array(block[..<count])) == Array(names[..<whole]))
        }
    }

    @Test("a record without a length, or with a wrong one, ends the listing")
    func badLength() {
        for length in [0, 1, 18, 19, 0xffff] {
            var block = record("first") + record("second")
            let start = record("first").count + 16
            block[start] = UInt8(length & 0xff)
            block[start + 1] = UInt8(length >> 8)
            #expect(DirectoryListing.parse(block) == ["first"])
        }
    }

    @Test("garbage ends, and does no harm", arguments: 0..<16 as Range<UInt64>)
    func garbage(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<300 {
            var block = names.flatMap(record)
            for _ in 0..<Int.random(in: 1...20, using: &random) {
                block[.random(in: 0..<block.count, using: &random)] = .random(
                    in: 0...255, using: &random)
            }
            let found = DirectoryListing.parse(block)
            #expect(found.count <= block.count / 20, "seed \(seed)")
        }
    }

    @Test("a directory of the kernel is listed, and a file is refused")
    func real() throws {
        let found = try DirectoryListing.names(in: "/proc/self")
        #expect(found.contains("fd") && found.contains("status") && !found.contains("."))
        #expect(Set(found).count == found.count)
        #expect(
            throws: SystemCallError(
                call: "open", subject: "/proc/self/status", errorNumber: .notDirectory)
        ) { try DirectoryListing.names(in: "/proc/self/status") }
    }
}
