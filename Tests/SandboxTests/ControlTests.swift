import CInitProtocol
import Foundation
import LinuxKernel
import SandboxModel
import TestSupport
import Testing

@testable import Jail

extension SandboxTests {
    /// What stands in a message of alcove-init, or that there are no more.
    private enum Answer: Equatable {
        case message([UInt8])
        case end
    }

    /// Speaks to alcove-init byte by byte.
    private final class RawControl {
        private let socket: Descriptor

        init(_ sandbox: LastingSandbox) throws(SystemCallError) {
            socket = try MessageSockets.connect(
                to: "control", in: Files.open(sandbox.folder.path, [.path, .directory]),
                takesCredentials: false)
        }

        func send(_ bytes: [UInt8], passing descriptors: [Int32] = []) throws(SystemCallError) {
            try MessageSockets.send(bytes, passing: descriptors, to: socket)
        }

        func answer() throws -> Answer {
            while true {
                var interests = [Readiness.Interest(socket.rawValue)]
                try Patience.wait(for: &interests)
                guard let message = try MessageSockets.receive(from: socket, atMost: 64) else {
                    continue
                }
                return message.bytes.isEmpty ? .end : .message(message.bytes)
            }
        }

        /// Its answers, each as kind and value, to the end.
        func answers() throws -> [[UInt32]] {
            var answers: [[UInt32]] = []
            while case .message(let bytes) = try answer() {
                answers.append([
                    LittleEndian.number(bytes[...], at: 0), LittleEndian.number(bytes[...], at: 4),
                ])
            }
            return answers
        }
    }

    @Suite("The control socket of alcove-init") struct ControlTests {
        private let driver: LastingDriver
        private let sandbox: LastingSandbox
        private static let refused: [[UInt32]] = [[ALCOVE_ANSWER_REFUSED.rawValue, 1]]
        private static let hello: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0]

        init() throws {
            driver = try LastingDriver()
            sandbox = try driver.shell("sleep 1000 & echo ready; wait")
            try sandbox.untilLogged("ready")
        }

        /// Any descriptors: this process's own.
        private let nulls: [Int32] = [0, 1, 2]

        /// Once it has seen the ends of all connections but one, and refused what waited.
        private func descriptorCount() throws -> Int {
            let control = try RawControl(sandbox)
            for _ in 0..<60 {
                try control.send(Self.hello)
                _ = try control.answer()
            }
            return try DirectoryListing.names(in: "/proc/\(sandbox.pid)/fd").count
        }

        private func expectAlive(_ comment: Comment? = nil) throws {
            let control = try RawControl(sandbox)
            try control.send(Self.hello)
            #expect(
                try control.answer()
                    == .message([1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]), comment)
        }

        /// `true` in `/`, without environment: byte by byte.
        private static let good: [UInt8] =
            [4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0]
            + Array("/\0/bin/true\0true\0A=b\0".utf8)

        @Test("requests and answers have these bytes")
        func golden() throws {
            try expectAlive()
            let request = ExecRequest(command: ["/bin/true"], environment: ["A=b"])
            let expected =
                Array(Self.good.prefix(20)) + Array("/\0/bin/true\0/bin/true\0A=b\0".utf8)
            #expect(try request.message() == expected)
            let control = try RawControl(sandbox)
            try control.send(Self.good, passing: nulls)
            let answers = try control.answers()
            #expect(answers.map(\.[0]) == [2, 3, 5] && answers.last == [5, 0])
        }

        @Test("a message that is cut, too long or wrong is refused, and nothing stays")
        func wrong() throws {
            let before = try descriptorCount()
            func changed(_ place: Int, _ value: UInt8) -> [UInt8] {
                var message = Self.good
                message[place] = value
                return message
            }
            var messages: [(bytes: [UInt8], count: Int)] = (1..<Self.good.count).map {
                (Array(Self.good.prefix($0)), 3)
            }
            messages += [
                ([1], 0), ([1, 0, 0, 0], 0), ([1, 0, 0, 0, 0, 0, 0], 0),
                ([1, 0, 0, 0, 0, 0, 0, 0, 0], 0), ([1, 0, 0, 0, 1, 0, 0, 0], 0),
                ([0, 0, 0, 0, 0, 0, 0, 0], 0), ([9, 0, 0, 0, 0, 0, 0, 0], 0),
                ([2, 0, 0, 0, 0, 0, 0, 0], 0), ([2, 0, 0, 0, 65, 0, 0, 0], 0),
                ([2, 0, 0, 0, 255, 255, 255, 255], 0), (Self.hello, 1), (Self.hello, 3),
                (Self.good, 0), (Self.good, 1), (Self.good, 2), (Self.good + [0], 3),
                (Self.good + Array("more\0".utf8), 3), (changed(4, 1), 3), (changed(4, 2), 0),
                (changed(8, 1), 3), (changed(12, 0), 3), (changed(12, 2), 3),
                (changed(14, 0), 3), (changed(14, 9), 3), (changed(16, 2), 3),
                (changed(17, 255), 3), (changed(18, 1), 3),
                (Self.good + [UInt8](repeating: 0, count: 140_000), 3),
            ]
            for (bytes, count) in messages {
                let control = try RawControl(sandbox)
                try control.send(bytes, passing: Array(nulls.prefix(count)))
                let comment: Comment = "\(bytes.prefix(60)), \(bytes.count) bytes, \(count)"
                #expect(try control.answers() == Self.refused, comment)
            }
            try expectAlive()
            #expect(try descriptorCount() == before)
        }

        @Test("mutated messages do no harm", arguments: 0..<8 as Range<UInt64>)
        func mutated(seed: UInt64) throws {
            var random = SeededRandom(seed: seed)
            let before = try descriptorCount()
            for round in 0..<100 {
                var message = Self.good
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    let place = Int.random(in: 0..<message.count, using: &random)
                    switch Int.random(in: 0..<4, using: &random) {
                    case 0: message[place] = .random(in: 0...255, using: &random)
                    case 1: message[place] = 0
                    case 2: message.insert(.random(in: 0...255, using: &random), at: place)
                    default: message.remove(at: place)
                    }
                }
                // The kinds that act on the workload are meant to.
                if let kind = message.first, kind == 2 || kind == 3 { message[0] = 4 }
                let control = try RawControl(sandbox)
                let count = Int.random(in: 0...3, using: &random)
                try control.send(message, passing: Array(nulls.prefix(count)))
                if Bool.random(using: &random) { _ = try control.answers() }
                if round % 20 == 0 { try expectAlive("seed \(seed), round \(round)") }
            }
            try expectAlive("seed \(seed)")
            #expect(try descriptorCount() == before, "seed \(seed)")
        }

        @Test("a second command on a connection is refused, and ends the first")
        func second() throws {
            let before = try driver.processes(of: sandbox)
            let control = try RawControl(sandbox)
            try control.send(try ExecRequest(command: ["sleep", "1000"]).message(), passing: nulls)
            _ = try control.answer()
            let started = try driver.processes(of: sandbox).subtracting(before)
            #expect(started.count == 1)
            let handles = try started.map { try ProcessHandle($0) }
            try control.send(Self.good, passing: nulls)
            #expect(try control.answers().map(\.[0]) == [3, 7])
            for handle in handles { try handle.untilOver() }
        }

        @Test("300 connections at once do not keep it from its work")
        func flood() throws {
            let before = try descriptorCount()
            for _ in 0..<10 {
                var connections: [RawControl] = []
                while connections.count < 30 {
                    do throws(SystemCallError) {
                        connections.append(try RawControl(sandbox))
                    } catch {
                        // Its queue is full until it takes them.
                        guard error.errorNumber == .wouldBlock else { throw error }
                    }
                }
                let names = try DirectoryListing.names(in: "/proc/\(sandbox.pid)/fd")
                #expect(names.count <= before + Int(ALCOVE_CONTROL_CONNECTIONS))
            }
            try expectAlive()
            #expect(try descriptorCount() == before)
        }

        @Test("it answers while the workload floods its logs, and requests flood it")
        func busy() throws {
            let noisy = try driver.shell("trap '' WINCH; yes", logBytes: 1 << 20)
            try noisy.untilLogged("y")
            let flood = try RawControl(noisy)
            for _ in 0..<500 {
                // When its queue is full, the rest is left out.
                try? flood.send([2, 0, 0, 0, 28, 0, 0, 0])
                let control = try RawControl(noisy)
                try control.send(Self.hello)
                guard case .message = try control.answer() else {
                    Issue.record("no answer")
                    return
                }
            }
            let run = try noisy.run("echo there")
            #expect(try run.untilOver() == .ended(.exited(code: 0)))
            #expect(run.text == "there\n")
        }

        @Test("nobody inside reaches it, or what alcove-init holds")
        func unreachable() throws {
            let check = try sandbox.run(
                """
                ls /proc/1/cwd/ /proc/1/root/ /proc/1/fd/5/ 2>/dev/null
                for file in /proc/1/fd/*; do readlink $file; cat $file 2>/dev/null; done
                cat /proc/1/environ /proc/1/maps 2>/dev/null
                grep -c control /proc/net/unix
                for file in /proc/self/fd/*; do readlink $file; done
                true
                """)
            #expect(try check.untilOver() == .ended(.exited(code: 0)))
            let lines = check.text.split(separator: "\n").map(String.init)
            #expect(lines.dropFirst().allSatisfy { $0.hasPrefix("pipe:") }, "\(lines)")
            #expect(!check.text.contains(driver.folder.path))
        }
    }
}
