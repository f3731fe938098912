import Foundation
import Store
import TestSupport
import Testing

/// Small file systems in mount namespaces of their own.
@Suite struct DiskTests {
    private static func mount(_ kibibytes: Int) -> String {
        "mount -t tmpfs -o size=\(kibibytes)k,mode=700 alcove \"$1\""
    }

    /// Takes all the room that is left.
    private func fill(_ path: String) {
        let ballast = "\(path)/ballast"
        guard FileManager.default.createFile(atPath: ballast, contents: nil) else { return }
        guard let file = FileHandle(forWritingAtPath: ballast) else { return }
        for size in [65536, 4096] {
            while (try? file.write(contentsOf: Data(repeating: 1, count: size))) != nil {}
        }
        try? file.close()
    }

    private func makeRoom(_ path: String) throws {
        try FileManager.default.removeItem(atPath: "\(path)/ballast")
    }

    private static let full =
        "failed full: cannot write the record `PATH`: database or disk is full "
        + "(make room on the file system of the record)"

    @Test(
        "on a full disk commits fail whole, and succeed again when there is room",
        .needs(.root, .sysAdmin), arguments: [["background=0"], ["pages=10", "largest=30"]])
    func full(options: [String]) throws {
        let folder = try Folder()
        let writer = try Writer(folder, options, after: Self.mount(1200))
        try writer.process.waitForOutput("ready")
        let path = writer.path(in: folder)
        var generator = RandomLines(seed: 3)
        var model = RecordModel()
        func commit(expecting isFine: Bool? = nil) throws -> Bool {
            let line = generator.next()
            let reply = try writer.send(line)
            if reply == "done" { model.apply(line) }
            let message = Self.full.replacingOccurrences(of: "PATH", with: folder.database)
            #expect(reply == "done" || reply == message)
            if let isFine { #expect((reply == "done") == isFine, "\(reply)") }
            return reply == "done"
        }
        for round in 0..<4 {
            for _ in 0..<10 { _ = try commit(expecting: true) }
            fill(path)
            var failures = 0
            for _ in 0..<200 where failures < 20 {
                if try !commit() { failures += 1 }
            }
            #expect(failures == 20, "round \(round)")
            try makeRoom(path)
            _ = try writer.send("c")
            let (store, copy) = try writer.copy(of: folder)
            try withExtendedLifetime(copy) {
                try model.expect(store, names: RandomLines.names, "round \(round)")
            }
        }
        #expect(try writer.process.finish().succeeded)
    }

    @Test(
        "a record is opened on a full disk, and a new one is refused there",
        .needs(.root, .sysAdmin))
    func openFull() throws {
        let folder = try Folder()
        let source = try Folder()
        try openQuietly(source).commit(Self.change)
        let fill = "dd if=/dev/zero of=\"$1\"/ballast bs=4k 2>&- || true"
        let there = "\(Self.mount(400)); cp -p \(source.path)/* \"$1\"; \(fill)"
        let writer = try Writer(folder, ["background=0"], after: there)
        try writer.process.waitForOutput("ready")
        let full = Self.full.replacingOccurrences(of: "PATH", with: folder.database)
        #expect(try writer.send("p:1:a:1:9000") == full)
        try makeRoom(writer.path(in: folder))
        #expect(try writer.send("p:1:a:1:9000") == "done")
        #expect(try writer.process.finish().succeeded)
        let none = try Writer(folder, after: "\(Self.mount(400)); \(fill)").process.finish()
        #expect(none.code == 1)
        #expect(
            none.output.hasPrefix("failed full: cannot open the record `\(folder.database)`: "),
            "\(none)")
    }

    private static let change: Change = {
        var change = Change()
        change.set("name", to: [1, 2, 3])
        return change
    }()

    @Test("a read-only file system is refused in words", .needs(.root, .sysAdmin))
    func readOnly() throws {
        let folder = try Folder()
        let source = try Folder()
        try openQuietly(source).commit(Self.change)
        for copies in ["", "cp -p \(source.path)/* \"$1\"; "] {
            let shell =
                "\(Self.mount(1000)); \(copies)mount -o remount,ro alcove \"$1\""
            let result = try Writer(folder, after: shell).process.finish()
            #expect(result.code == 1)
            #expect(
                result.output
                    == "failed readOnly: cannot open the record `\(folder.database)`: "
                    + "open `\(folder.database)-lock`: Read-only file system "
                    + "(make the file system and the file writable, as root)\n")
        }
    }
}
