import Foundation
import Jail
import LinuxKernel
import SandboxModel
import TestSupport
import Testing

extension SandboxTests {
    @Suite("Logs of lasting sandboxes") struct LogTests {
        private let driver: LastingDriver

        init() throws { driver = try LastingDriver() }

        private func read(_ reader: LogReader) -> [LogLine] {
            var lines: [LogLine] = []
            while let line = reader.next() { lines.append(line) }
            return lines + reader.takeUnfinished(isOver: true)
        }

        private func numbers(_ lines: [LogLine]) -> [Int] {
            lines.compactMap { Int(String(decoding: $0.data.dropLast(), as: UTF8.self)) }
        }

        @Test("10 MB of output is complete")
        func complete() throws {
            let sandbox = try driver.start(["seq", "1", "1400000"], logBytes: 64 << 20)
            #expect(try sandbox.untilOver().ending == .ended(.exited(code: 0)))
            let lines = read(try LogReader(sandbox.folder))
            #expect(lines.count == 1_400_000 && lines.allSatisfy { $0.lost == 0 && !$0.isPartial })
            #expect(numbers(lines) == Array(1...1_400_000))
            #expect(lines.reduce(0) { $0 + $1.data.count } > 9_000_000)
        }

        @Test("old segments give way, the bound holds, and what is lost is counted")
        func rotation() throws {
            let bound = 128 << 10
            let sandbox = try driver.start(["seq", "1", "300000"], logBytes: UInt64(bound))
            #expect(try sandbox.untilOver().ending == .ended(.exited(code: 0)))
            let sizes = try ["log.0", "log.1"].map {
                try Files.status(of: sandbox.folder.path + "/" + $0).size
            }
            #expect(sizes.reduce(0, +) <= UInt64(bound) && sizes.allSatisfy { $0 > 0 })
            let lines = read(try LogReader(sandbox.folder))
            #expect(lines.last.map { $0.data } == Array("300000\n".utf8))
            let first = try #require(lines.first)
            #expect(first.lost + UInt64(lines.count) == 300_000)
            #expect(lines.dropFirst().allSatisfy { $0.lost == 0 })
            // The first may be the end of a line whose beginning is lost.
            let kept = numbers(Array(lines.dropFirst()))
            #expect(kept == Array((300_000 - kept.count + 1)...300_000))
        }

        @Test("a reader that follows gets everything while segments change under it")
        func follow() throws {
            let sandbox = try driver.shell(
                "i=0; while [ $i -lt 400 ]; do i=$((i + 1)); seq $i 400 100000; done",
                logBytes: 512 << 10)
            let watcher = try LogWatcher()
            let token = try watcher.watch(sandbox.folder)
            let reader = try LogReader(sandbox.folder)
            var count: UInt64 = 0
            var lost: UInt64 = 0
            var isOver = false
            while true {
                while let line = reader.next() {
                    count += 1
                    lost += line.lost
                }
                if isOver { break }
                var interests = [
                    Readiness.Interest(watcher.descriptor),
                    Readiness.Interest(sandbox.processDescriptor),
                ]
                try Patience.wait(for: &interests)
                if interests[0].isReady { #expect(watcher.takeChanged().isSubset(of: [token])) }
                isOver = interests[1].isReady
            }
            #expect(try sandbox.untilOver().ending == .ended(.exited(code: 0)))
            // Pieces of two lines may be counted apart where lines between them are lost.
            #expect(count + lost >= 100_000)
            #expect(lost > 0 || count == 100_000)
            watcher.unwatch(token)
        }

        @Test("tail, since and streams choose")
        func choice() throws {
            let sandbox = try driver.shell(
                "seq 1 50; echo e1 >&2; seq 51 60; echo e2 >&2")
            _ = try sandbox.untilOver()
            let folder = sandbox.folder
            let all = read(try LogReader(folder))
            #expect(all.count == 62)
            #expect(read(try LogReader(folder, tail: 5)) == Array(all.suffix(5)))
            #expect(read(try LogReader(folder, tail: 0)) == [])
            #expect(read(try LogReader(folder, tail: 1000)) == all)
            let output = read(try LogReader(folder, streams: [.output], tail: 3))
            #expect(numbers(output) == [58, 59, 60])
            let errors = read(try LogReader(folder, streams: [.error]))
            #expect(errors.map { String(decoding: $0.data, as: UTF8.self) } == ["e1\n", "e2\n"])
            let time = try #require(all.last?.atNanoseconds)
            #expect(
                read(try LogReader(folder, since: time)) == all.filter { $0.atNanoseconds >= time })
            #expect(read(try LogReader(folder, since: time + 1)) == [])
        }

        @Test("a reading ends though the workload never rests", .timeLimit(.minutes(5)))
        func restless() throws {
            let sandbox = try driver.shell(
                "echo ready; yes $(head -c 4000 /dev/zero | tr '\\0' x)", logBytes: 8 << 20)
            try sandbox.untilLogged("ready")
            for _ in 0..<5 {
                let bytes = read(try LogReader(sandbox.folder, endsNow: true)).reduce(0) {
                    $0 + $1.data.count
                }
                // The last record is read whole.
                #expect(bytes > 0 && bytes <= (8 << 20) + (64 << 10))
                let tail = read(try LogReader(sandbox.folder, tail: 10, endsNow: true))
                #expect((1...12).contains(tail.count), "\(tail)")
            }
        }

        @Test("long lines come in parts, lines without an end at the end")
        func lines() throws {
            let sandbox = try driver.shell(
                "head -c 150000 /dev/zero | tr '\\0' x; echo; echo; printf unfinished")
            _ = try sandbox.untilOver()
            let lines = read(try LogReader(sandbox.folder))
            #expect(lines.map { $0.data.count } == [65536, 65536, 18929, 1, 10])
            #expect(lines.map { $0.isPartial } == [true, true, false, false, false])
        }

        @Test("a workload with a terminal is logged as it writes there")
        func terminal() throws {
            let sandbox = try driver.shell("tty; echo err >&2") { $0.terminal = true }
            #expect(try sandbox.untilOver().ending == .ended(.exited(code: 0)))
            let lines = read(try LogReader(sandbox.folder))
            #expect(lines.allSatisfy { $0.stream == .output })
            let text = lines.map { String(decoding: $0.data, as: UTF8.self) }
            #expect(text == ["/dev/pts/0\r\n", "err\r\n"])
        }

        @Test("the size of the workload's terminal can be changed")
        func terminalSize() throws {
            let sandbox = try driver.shell(
                "trap 'stty size; exit' WINCH; sleep 1000 & echo ready; while :; do wait; done"
            ) { $0.terminal = true }
            try sandbox.untilLogged("ready")
            try sandbox.resizeTerminal(.init(rows: 33, columns: 99))
            try sandbox.untilLogged("33 99")
        }

        @Test("what the workload leaves in its pipes is logged, what it leaves running not awaited")
        func leftRunning() throws {
            let sandbox = try driver.shell(
                "(while :; do echo noise; done) & head -c 60000 /dev/zero")
            #expect(try sandbox.untilOver().ending == .ended(.exited(code: 0)))
            let bytes = read(try LogReader(sandbox.folder)).reduce(0) { count, line in
                count + line.data.count { $0 == 0 }
            }
            #expect(bytes == 60000)
        }

        @Test("a full disk drops output and ends nothing", .needs(.sysAdmin))
        func fullDisk() throws {
            let mount = driver.folder.path + "/full"
            try driver.folder.makeFolder("full")
            let mounted = try run(
                "mount", arguments: ["-t", "tmpfs", "-o", "size=256k", "alcove-test", mount])
            try #require(mounted.succeeded, "\(mounted)")
            defer { _ = try? run("umount", arguments: ["--lazy", mount]) }
            let folder = SandboxFolder(mount + "/sandbox")
            try folder.make()
            let sandbox = try driver.start(
                ["sh", "-c", "seq 1 200000; echo last >&2; exit 4"], logBytes: 16 << 20, in: folder)
            #expect(try driver.adoptRunning(sandbox).untilOver().ending == .ended(.exited(code: 4)))
            _ = try sandbox.untilOver()
            let lines = read(try LogReader(folder))
            let numbers = numbers(lines.filter { $0.lost == 0 })
            #expect(numbers.starts(with: [1, 2, 3]) && numbers.count < 200_000)
        }

        @Test(
            "a reader takes no harm from what stands in the files",
            arguments: 0..<40 as Range<UInt64>)
        func hostile(seed: UInt64) throws {
            var random = SeededRandom(seed: seed)
            let sandbox = try driver.start(["seq", "1", "40000"], logBytes: 128 << 10)
            _ = try sandbox.untilOver()
            for name in ["log.0", "log.1"] {
                let url = URL(fileURLWithPath: sandbox.folder.path + "/" + name)
                var bytes = [UInt8](try Data(contentsOf: url))
                for _ in 0..<Int.random(in: 0...30, using: &random) where !bytes.isEmpty {
                    let place = Int.random(in: 0..<min(bytes.count, 20_000), using: &random)
                    bytes[place] =
                        [0, 255, .random(in: 0...255, using: &random)]
                        .randomElement(using: &random) ?? 0
                }
                if Bool.random(using: &random) {
                    bytes.removeLast(Int.random(in: 0...bytes.count, using: &random))
                }
                try Data(bytes).write(to: url)
            }
            let lines = read(try LogReader(sandbox.folder))
            #expect(lines.count <= 40_100, "seed \(seed)")
            _ = read(try LogReader(sandbox.folder, tail: 10))
        }
    }
}
