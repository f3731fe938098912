/// Every import points down, as the table of layers says, and keeps C out of public signatures.
enum Imports {
    static func findings(_ tree: Tree) -> [Finding] {
        findings(tree, rows: ImportTable.rows)
    }

    static func findings(_ tree: Tree, rows: [ImportTable.Row]) -> [Finding] {
        var findings: [Finding] = []
        let table = "Tests/TidyTests/ImportTable.swift"
        var files: [String: [SourceFile]] = [:]
        for file in tree.files where file.isSource {
            let parts = file.path.split(separator: "/")
            if parts.count > 2 { files[String(parts[1]), default: []].append(file) }
        }
        for (target, members) in files where !rows.contains(where: { $0.target == target }) {
            findings.append(
                members[0].finding(
                    1, "`\(target)` is not in the table of layers: add its row to `\(table)`"))
        }
        var modulesOfC = ImportTable.toolchainC
        for row in rows where row.kind == .c || row.kind == .systemLibrary {
            modulesOfC.insert(row.target)
        }
        for row in rows {
            guard let members = files[row.target] else {
                findings.append(
                    Finding(
                        path: table, line: 1,
                        message: "`Sources/\(row.target)` is not there: the table lists what is"))
                continue
            }
            for file in members {
                if file.language == .swift {
                    findings += imports(file, row, modulesOfC: modulesOfC)
                } else if file.language == .c, row.kind == .c {
                    findings += includes(file, row, tree)
                }
            }
        }
        return findings
    }

    private static let importLine = Pattern(
        #"^[ \t]*((?:@\w+(?:\([^)]*\))?\s+)*)(?:(\w+)\s+)?import\s+"#
            + #"(?:(?:typealias|struct|class|enum|protocol|let|var|func)\s+)?(\w+)"#)

    private static func imports(
        _ file: SourceFile, _ row: ImportTable.Row, modulesOfC: Set<String>
    ) -> [Finding] {
        importLine.matches(in: file.code).flatMap { match in
            let (attributes, access, module) = (match.groups[1], match.groups[2], match.groups[3])
            var findings: [Finding] = []
            if access.isEmpty {
                findings.append(
                    file.finding(
                        match.line,
                        "`import \(module)` without an access level: write `internal import`"))
            } else if modulesOfC.contains(module), access != "internal" {
                findings.append(
                    file.finding(
                        match.line,
                        "`\(access) import \(module)`: a module of C is always "
                            + "`internal import`, no type of it reaches a public signature"))
            }
            if attributes.contains("@testable") {
                findings.append(
                    file.finding(match.line, "`@testable` outside of tests: make it `package`"))
            }
            if module.hasPrefix("Foundation") {
                findings.append(
                    file.finding(
                        match.line,
                        "`\(module)` costs every start milliseconds and megabytes: use the "
                            + "standard library and LinuxKernel"))
            } else if !row.modules.contains(module) {
                findings.append(
                    file.finding(
                        match.line,
                        "`\(row.target)` may not import `\(module)`: its layer has "
                            + list(row.modules)))
            }
            return findings
        }
    }

    private static func list(_ modules: Set<String>) -> String {
        modules.isEmpty ? "the standard library alone" : modules.sorted().joined(separator: ", ")
    }

    private static let include = Pattern(#"^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]"#)

    /// Headers of the C library that lie in no folder.
    private static let libcHeaders: Set<String> = [
        "assert", "byteswap", "ctype", "dirent", "dlfcn", "elf", "endian", "err", "errno", "fcntl",
        "fenv", "float", "fnmatch", "ftw", "getopt", "glob", "grp", "inttypes", "iso646",
        "langinfo",
        "libgen", "limits", "link", "locale", "malloc", "math", "mntent", "netdb", "paths", "poll",
        "pthread", "pty", "pwd", "regex", "sched", "search", "semaphore", "setjmp", "signal",
        "spawn",
        "stdalign", "stdarg", "stdatomic", "stdbool", "stddef", "stdint", "stdio", "stdlib",
        "stdnoreturn", "string", "strings", "syscall", "syslog", "termios", "threads", "time",
        "uchar", "ucontext", "unistd", "utime", "utmp", "wait", "wchar", "wctype", "wordexp",
    ]
    private static let libcFolders = [
        "arpa/", "asm/", "asm-generic/", "bits/", "linux/", "net/", "netinet/", "netpacket/",
        "sys/",
    ]
    /// Headers of other libraries in libc's folders.
    private static let foreignHeaders: Set<String> = ["sys/capability.h", "sys/acl.h"]

    private static func includes(
        _ file: SourceFile, _ row: ImportTable.Row, _ tree: Tree
    ) -> [Finding] {
        let folders = row.modules.union([row.target]).map { "Sources/\($0)/" }
        return include.matches(in: file.withoutComments).compactMap { match in
            let header = match.groups[2]
            if match.groups[1] == "\"" {
                let isOurs = tree.paths.contains { path in
                    path.hasSuffix("/\(header)") && folders.contains { path.hasPrefix($0) }
                }
                return isOurs
                    ? nil
                    : file.finding(
                        match.line,
                        "`\(row.target)` may not include `\(header)`: its layer has "
                            + "\(list(row.modules)) and its own headers")
            }
            let isLibc =
                libcHeaders.contains(String(header.dropLast(2)))
                || libcFolders.contains { header.hasPrefix($0) }
            if isLibc, !foreignHeaders.contains(header) { return nil }
            return file.finding(
                match.line,
                "`<\(header)>` is not of libc or the kernel: `\(row.target)` may include nothing "
                    + "else")
        }
    }
}
