import LinuxKernel
import TestSupport
import Testing

@testable import ImageStore

/// Directories looked up in the files of layers.
@Suite struct ErofsReaderTests {
    private func layer(_ fixture: ImageFixture) throws -> String {
        var tar = TarBuilder()
        tar.add("./", .directory, mode: 0o751, user: 1, group: 2)
        tar.add("a/", .directory, mode: 0o700, user: 70000, group: 3)
        tar.add("a/b/", .directory, mode: 0o1777)
        tar.add("a/b/.wh..wh..opq", .file)
        tar.add("a/file", .file, "x")
        tar.add("a/.wh.gone", .file)
        // More than one block of names, and a tail.
        for number in 0..<500 { tar.add("many/directory-\(number)/", .directory, user: number) }
        let store = try fixture.store()
        let image = try store.importImage(from: fixture.layout([tar.archive])).image
        return store.layerPath(image.layers[0])
    }

    @Test("a directory is found with owner and mode, and what hides those below is told")
    func find() throws {
        let fixture = try ImageFixture()
        let reader = try ErofsReader(try layer(fixture))
        func look(_ path: String) throws -> ErofsReader.Found { try reader.look(at: path) }
        #expect(try look("/") == .directory(DirectoryAccess(mode: 0o751, user: 1, group: 2)))
        #expect(try look("/a") == .directory(DirectoryAccess(mode: 0o700, user: 70000, group: 3)))
        #expect(try look("/a/b") == .directory(DirectoryAccess(mode: 0o1777, user: 0, group: 0)))
        for number in [0, 1, 250, 499] {
            #expect(
                try look("/many/directory-\(number)")
                    == .directory(
                        DirectoryAccess(mode: 0o755, user: UInt32(number), group: 0)))
        }
        for path in ["/none", "/a/none", "/a/none/deeper", "/many/directory-500"] {
            #expect(try look(path) == .nothing, "\(path)")
        }
        for path in ["/a/file", "/a/file/deeper", "/a/gone", "/a/gone/deeper", "/a/b/none"] {
            #expect(try look(path) == .hidden, "\(path)")
        }
    }

    @Test(
        "a file that was changed gives another answer or is called damaged",
        arguments: 1...4 as ClosedRange<UInt64>)
    func mutated(seed: UInt64) throws {
        let fixture = try ImageFixture()
        let good = try fixture.read(
            String(try layer(fixture).dropFirst(fixture.path.count + 1)))
        var random = SeededRandom(seed: seed)
        var damaged = 0
        let file = try Files.open(
            fixture.path + "/mutated", [.readWrite, .create, .truncate])
        for _ in 0..<500 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...20, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] =
                    .random(in: 0...255, using: &random)
            }
            if Bool.random(using: &random) {
                bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
            }
            try file.setSize(0)
            try file.write(bytes.span, at: 0)
            do throws(ImageError) {
                let reader = try ErofsReader(fixture.path + "/mutated")
                for path in ["/a/b", "/many/directory-499", "/a/gone/deeper"] {
                    _ = try reader.look(at: path)
                }
            } catch {
                #expect(error.code == .damaged)
                damaged += 1
            }
        }
        #expect(damaged > 50)
    }
}
