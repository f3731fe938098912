import Foundation
import Store
import TestSupport
import Testing

/// A process that commits what it is told, line by line; see `Tests/StoreTestWriter/Script.swift`.
final class Writer {
    let process: ChildProcess
    private var count = 0

    /// - Parameter shell: runs before it, in a mount namespace of its own, with the folder as `$1`.
    init(_ folder: Folder, _ options: [String] = [], after shell: String? = nil) throws {
        let program = try Products.toolPath("StoreTestWriter")
        guard let shell else {
            process = try ChildProcess(program, arguments: [folder.path] + options)
            return
        }
        let script = "set -e; \(shell); shift; exec \"$@\""
        process = try ChildProcess(
            "unshare",
            arguments: [
                "--mount", "sh", "-c", script, "sh", folder.path, program, folder.path,
            ] + options)
    }

    /// Sends a line and gives what became of it.
    func send(_ line: String) throws -> String {
        count += 1
        process.write("\(line)\n")
        try process.waitForOutput("\n\(count).\n")
        let prefix = "\(count) "
        let reply = process.output.split(separator: "\n").first { $0.hasPrefix(prefix) }
        return String(try #require(reply).dropFirst(prefix.count))
    }

    /// The folder as the process sees it, when it has mounts of its own.
    func path(in folder: Folder) -> String { "/proc/\(process.pid)/root\(folder.path)" }

    /// Takes the files of its record as they are now, and opens those.
    func copy(of folder: Folder) throws -> (Store, Folder) {
        let copy = try Folder()
        for name in ["alcove.db", "alcove.db-wal"] {
            let source = "\(path(in: folder))/\(name)"
            guard FileManager.default.fileExists(atPath: source) else { continue }
            try FileManager.default.copyItem(atPath: source, toPath: "\(copy.path)/\(name)")
        }
        return (try openQuietly(copy), copy)
    }
}

/// What a record must hold after lines of the writer.
struct RecordModel {
    private(set) var records: [Int64: [String: StoredRecord]] = [:]
    private(set) var values: [String: [UInt8]] = [:]
    private(set) var events: [StoredEvent] = []

    mutating func apply(_ line: String) {
        for word in line.split(separator: " ") {
            let fields = word.split(separator: ":").map(String.init)
            func number(_ index: Int) -> Int64 { Int64(fields[index]) ?? 0 }
            switch fields[0] {
            case "p":
                records[number(1), default: [:]][fields[2]] = StoredRecord(
                    id: fields[2], number: number(3), bytes: Self.content(number(3), number(4)))
            case "r": records[number(1)]?[fields[2]] = nil
            case "e":
                events.append(
                    StoredEvent(
                        number: number(1), subject: fields[2],
                        bytes: Self.content(number(1), number(3))))
            case "s": values[fields[1]] = Self.content(number(2), number(2))
            default: values[fields[1]] = nil
            }
        }
    }

    mutating func trimEvents() {
        events = events.suffix(1)
    }

    /// Compares all that is in a store.
    func expect(_ store: Store, names: [String], _ comment: Comment) throws {
        for kind in Int64(1)...3 {
            let found = try store.records(of: RecordKind(rawValue: kind))
            #expect(
                found
                    == (records[kind] ?? [:]).values.sorted {
                        ($0.number, $0.id) < ($1.number, $1.id)
                    }, comment)
        }
        #expect(try store.events(from: .min, limit: 1 << 20) == events, comment)
        for name in names {
            let value = try store.value(name)
            #expect(value == values[name], comment)
        }
    }

    private static func content(_ number: Int64, _ size: Int64) -> [UInt8] {
        Array(repeating: UInt8(truncatingIfNeeded: number &* 31), count: Int(size))
    }
}

/// Lines of the writer at random; each has one event, numbered on.
struct RandomLines {
    var random: SeededRandom
    private var number: Int64 = 0
    static let names = (0..<5).map { "name-\($0)" }

    init(seed: UInt64) {
        random = SeededRandom(seed: seed)
    }

    mutating func next(after last: Int64? = nil) -> String {
        if let last { number = last }
        number += 1
        var words: [String] = []
        for _ in 0..<Int.random(in: 0...4, using: &random) {
            let kind = Int.random(in: 1...3, using: &random)
            let id = "id-\(Int.random(in: 0..<30, using: &random))"
            let name = Self.names[.random(in: 0..<5, using: &random)]
            let size = Self.sizes[.random(in: 0..<Self.sizes.count, using: &random)]
            switch Int.random(in: 0..<8, using: &random) {
            case 0...3: words.append("p:\(kind):\(id):\(number):\(size)")
            case 4...5: words.append("r:\(kind):\(id)")
            case 6: words.append("s:\(name):\(size)")
            default: words.append("u:\(name)")
            }
        }
        words.insert("e:\(number):node:\(size())", at: .random(in: 0...words.count, using: &random))
        return words.joined(separator: " ")
    }

    private mutating func size() -> Int { .random(in: 0...300, using: &random) }

    private static let sizes = [0, 1, 100, 700, 3000, 5000, 9000]
}
