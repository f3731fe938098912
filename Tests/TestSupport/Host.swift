import Foundation
import Glibc

/// What the host is and has, as tests ask for it.
public enum Host {
    public static var isRoot: Bool { geteuid() == 0 }

    /// Whether the capability of this number is in the effective set.
    public static func hasCapability(_ number: Int) -> Bool {
        let prefix = "CapEff:"
        guard let line = lines("/proc/self/status").first(where: { $0.hasPrefix(prefix) }),
            let set = UInt64(line.dropFirst(prefix.count).drop { $0 == "\t" }, radix: 16)
        else { return false }
        return set & (1 << UInt64(number)) != 0
    }

    /// Whether this file opens for reading and writing.
    public static func opens(_ path: String) -> Bool {
        guard let file = FileHandle(forUpdatingAtPath: path) else { return false }
        return (try? file.close()) != nil
    }

    public static func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: path)
    }

    public static func isWritableFolder(_ path: String) -> Bool {
        FileManager.default.isWritableFile(atPath: path)
    }

    /// Where the cgroup v2 tree is mounted.
    public static let cgroupFolder: String? = {
        for line in lines("/proc/self/mountinfo") {
            let halves = line.components(separatedBy: " - ")
            guard halves.count == 2, halves[1].hasPrefix("cgroup2 ") else { continue }
            let fields = halves[0].split(separator: " ")
            if fields.count > 4 { return String(fields[4]) }
        }
        return nil
    }()

    /// The controllers of the cgroup v2 tree.
    public static let cgroupControllers: Set<String> = {
        guard let cgroupFolder else { return [] }
        let words = lines("\(cgroupFolder)/cgroup.controllers").flatMap { $0.split(separator: " ") }
        return Set(words.map(String.init))
    }()

    /// The file systems that the kernel can mount.
    public static var fileSystems: Set<String> {
        Set(
            lines("/proc/filesystems").compactMap {
                $0.split(separator: "\t").last.map(String.init)
            })
    }

    /// Whether a user namespace can be made, found out by making one.
    public static var makesUserNamespaces: Bool {
        guard let unshare = executable("unshare"),
            let result = try? run(unshare, arguments: ["--user", "true"], timeout: .seconds(10))
        else { return false }
        return result.succeeded
    }

    /// Whether this process may map more memory than the machine has: the kernel neither counts it
    /// all, nor is there a limit.
    public static var mapsUnreservedMemory: Bool {
        let limit = lines("/proc/self/limits").first { $0.hasPrefix("Max address space") }
        return lines("/proc/sys/vm/overcommit_memory") != ["2"]
            && limit?.contains(" unlimited ") == true
    }

    /// How many huge pages of 2 MiB are set aside and not in use.
    public static var freeHugePages: Int {
        let path = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
        return lines(path).first.flatMap { Int($0) } ?? 0
    }

    /// The open descriptors of this process, as number and target. Without those of Dispatch, which
    /// opens them when it likes.
    public static var openDescriptors: [String] {
        let folder = "/proc/self/fd"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        let ofDispatch = ["eventpoll", "eventfd", "timerfd"].map { "anon_inode:[\($0)]" }
        return names.compactMap { name in
            // The listing's own is gone by now.
            let target = try? FileManager.default.destinationOfSymbolicLink(
                atPath: "\(folder)/\(name)")
            return target.flatMap { ofDispatch.contains($0) ? nil : "\(name) \($0)" }
        }.sorted()
    }

    /// The path of a program on the `PATH`.
    public static func executable(_ name: String) -> String? {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin"
        return path.split(separator: ":").map { "\($0)/\(name)" }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    private static func lines(_ path: String) -> [String] {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return [] }
        return text.split(separator: "\n").map(String.init)
    }
}
