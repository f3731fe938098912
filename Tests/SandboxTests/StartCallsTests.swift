import Foundation
import LinuxKernel
import SandboxModel
import TestSupport
import Testing

/// The system calls of `alcove run --local --read-only BASE -- /bin/true`, counted by strace.
///
/// A test that finds another count prints what each process called: look whether each call is
/// wanted, then write the new number here.
private enum Expected {
    /// The command itself, but for what depends on the kernel: see ``KernelPart``.
    static let host = 128
    /// The process that makes the network namespace ahead.
    static let networkMaker = 7
    /// The child from `clone3` to `execveat`, but for what depends on the kernel.
    static let child = 71
    /// alcove-init, from there to its end.
    static let initProgram = 84
    /// The workload's process up to its own `execve`: what comes then is not ours.
    static let workloadStart = 3
}

/// What depends on the kernel: it is looked up, not written down.
private enum KernelPart {
    /// The host drops each capability from its bounding set. Where its tree has controllers for
    /// those below, it reads their names, and then that there are no more.
    static var host: Int {
        let root = CgroupHierarchy.detect().root ?? ""
        let controllers = (try? Files.read("\(root)/cgroup.subtree_control")) ?? ""
        return Int(Capabilities.last) + 1 + (controllers.isEmpty || controllers == "\n" ? 0 : 1)
    }

    /// The child hides and protects what this kernel has below `/proc`.
    static var child: Int {
        let masked = MaskedPath.candidates.filter { Files.exists($0.path) }
        let protected = MaskedPath.readOnlyCandidates.filter { Files.exists($0) }
        // The first directory gets the one empty mount, made read-only before.
        let firstDirectory = masked.contains { $0.kind == .directory } ? 1 : 0
        return masked.count + firstDirectory + 2 * protected.count
    }
}

extension SandboxTests {
    @Suite struct StartCalls {
        /// The calls of each process or thread, in the order of their numbers.
        private func trace() throws -> [[String]] {
            let folder = try TemporaryFolder()
            let cgroups = try PrivateCgroups()
            // The C library looks at each folder on the way to the program: not counted. A fixed
            // environment, since a longer one is more memory.
            let words = [
                try Products.releasePath("alcove"), "run", "--local", "--read-only",
                try Products.baseImage(), "--", "/bin/true",
            ]
            // The first run makes the folder of all cgroups.
            #expect(try cgroups.run(words).succeeded)
            let result = try cgroups.run(
                ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "strace", "-ff", "-o"]
                    + ["\(folder.path)/trace"] + words)
            try #require(result.succeeded, "\(result)")
            let files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
            return try files.compactMap { Int($0.dropFirst("trace.".count)) }.sorted().map {
                let text = try String(
                    contentsOfFile: "\(folder.path)/trace.\($0)", encoding: .utf8)
                return countedCalls(text)
            }
        }

        /// The names of the calls that are the program's own, and the same each time.
        ///
        /// The C library grows the heap and reads where its stack lies, in as many steps as the
        /// addresses of that run and the length of the program's path ask for. Who comes to a
        /// futex first need not wait.
        private func countedCalls(_ trace: String) -> [String] {
            var names: [String] = []
            var readsMemoryMap = false
            // Other lines tell of signals and ends.
            for line in trace.split(separator: "\n") where line.first?.isLetter == true {
                let name = String(line.prefix { $0 != "(" })
                if line.contains("/proc/self/maps") { readsMemoryMap = true }
                if !readsMemoryMap, name != "futex", name != "brk" { names.append(name) }
                if name == "close" { readsMemoryMap = false }
            }
            return names
        }

        /// The same names together, as in `read 3, close 5`.
        private func summary(_ calls: [String]) -> Comment {
            let counts = Dictionary(grouping: calls) { $0 }.mapValues(\.count)
            let list = counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
            return Comment(rawValue: list.joined(separator: ", "))
        }

        @Test("a start makes exactly these calls, in every process", .needs(.strace))
        func exact() throws {
            let traces = try trace()
            try #require(traces.count == 4)
            let host = traces[0].filter { $0 != "newfstatat" && $0 != "readlink" }
            #expect(host.count - KernelPart.host == Expected.host, summary(traces[0]))
            let network = try #require(traces.first { $0.contains("socket") })
            #expect(network.count == Expected.networkMaker, summary(network))
            let sandbox = try #require(traces.first { $0.contains("pivot_root") })
            let executed = try #require(sandbox.firstIndex(of: "execveat")) + 1
            let child = Array(sandbox[..<executed])
            let initProgram = Array(sandbox[executed...])
            #expect(child.count - KernelPart.child == Expected.child, summary(child))
            #expect(initProgram.count == Expected.initProgram, summary(initProgram))
            let workload = traces[3]
            let started = try #require(workload.firstIndex(of: "execve")) + 1
            #expect(started == Expected.workloadStart, summary(workload))
        }

        @Test("a second start makes the same calls as the first", .needs(.strace))
        func stable() throws {
            #expect(try trace() == trace())
        }
    }
}
