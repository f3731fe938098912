import Testing

@Suite struct BansTests {
    static let library = "Sources/SandboxModel/Sample.swift"

    static let samples: [Sample] = [
        .bad(library, "a()\nlet x = try! b()\n", 2, "`try!` traps"),
        .bad(library, "let x = a as! B\n", 1, "use `as?`"),
        .bad(library, "let x = a!\n", 1, "a forced unwrap"),
        .bad(library, "let x = a(b)!.c\n", 1, "a forced unwrap"),
        .bad(library, "let x = a[b]! + c\n", 1, "a forced unwrap"),
        .bad(library, "let x = a(\"b\"!)\n", 1, "a forced unwrap"),
        .bad(library, "var x: Int!\n", 1, "`guard let`"),
        .bad(library, "let x = \"\\(a!)\"\n", 1, "a forced unwrap"),
        .good(library, "if !a, b != c, d(!e), a !== b { }\n#if !os(Linux)\n#endif\n"),
        .good(library, "// a!\nlet x = \"a!\" + #\"b! try! as!\"# /* c! */\n"),
        .good(library, "let x = try? a() as? B\n"),
        .bad(library, "fatalError()\n", 1, "say which invariant"),
        .bad(library, "preconditionFailure( )\n", 1, "say which invariant"),
        .good(library, "fatalError(\"the list is sorted\")\n"),
        .bad(library, "\nprint(a)\n", 2, "prints nothing"),
        .good(library, "func print(_ a: Int) {}\nconsole.print(a)\nsprint(a)\n"),
        .good("Tests/ATests/A.swift", "print(a)\n"),
        .bad(library, "usleep(10)\n", 1, "nothing polls"),
        .bad(library, "Thread.sleep(forTimeInterval: 1)\n", 1, "nothing polls"),
        .bad("Tests/ATests/A.swift", "try await Task.sleep(for: .seconds(1))\n", 1, "pidfd"),
        .bad("Sources/CLinux/a.c", "int x;\nsleep(1);\n", 2, "nothing polls"),
        .good("Tests/ATests/A.swift", "run(\"sleep(1)\", a.sleep(1), [\"/bin/sleep\", \"9\"])\n"),
        .bad("scripts/a", "#!/usr/bin/env bash\nsleep 1\n", 2, "`wait` for the process"),
        .bad("scripts/a", "#!/usr/bin/env bash\nwhile true; do sleep 0.1; done\n", 2, "`wait`"),
        .bad(library, "DispatchQueue.main\n", 1, "an epoll loop"),
        .bad("Sources/CLinux/a.c", "pid = fork();\n", 1, "`clone3`"),
        .good("Sources/CLinux/a.c", "// fork() is slow\nno_fork();\nputs(\"fork()\");\n"),
        .bad("scripts/a", "#!/usr/bin/env bash\n\npki\("ll") -f alcove\n", 3, "by name"),
        .bad(library, "run(\"kill\("all") x\")\n", 1, "keep the pid"),
        .bad("docs/a.md", "# A\n\nTO\("DO"): write\n", 3, "finish it"),
        .bad(library, "// FIX\("ME") later\n", 1, "finish it"),
        .good("scripts/a", "#!/usr/bin/env bash\nmktemp a.XX\("XXXX")\n"),
        .bad("docs/a.md", "see /wo\("rk")/alcove\n", 1, "relative to the package"),
        .bad(library, "let x = \"/ho\("me")/ann/alcove\"\n", 1, "relative to the package"),
        .good(library, "let x = \"/run/a/wo\("rk")/b\", y = \"\\(folder)/ho\("me")/a/b\"\n"),
        .bad("scripts/a", "#!/bin/bash\ncurl deb.debian.\("org")\n", 2, "choice of mirror"),
        .bad("docs/a.md", "https://pypi.\("org")/simple\n", 1, "choice of mirror"),
        .good("docs/a.md", "https://www.debian.org and https://www.swift.org\n"),
    ]

    @Test("what is banned is found at its line, and nothing else", arguments: samples)
    func sample(_ sample: Sample) {
        sample.expect(Bans.findings)
    }

    @Test("a program may print, the library beside it may not")
    func programs() {
        let rows = [ImportTable.Row("tool", .program), ImportTable.Row("toolkit", .library)]
        func isProgram(_ path: String) -> Bool {
            ImportTable.isProgram(SourceFile(path: path, text: ""), rows: rows)
        }
        #expect(isProgram("Sources/tool/main.swift"))
        #expect(!isProgram("Sources/toolkit/A.swift"))
        #expect(!isProgram("Sources/other/A.swift"))
    }
}

@Suite struct MemorySafetyTests {
    static let gap = String(repeating: "a()\n", count: MemorySafety.reach - 1)

    static let samples: [Sample] = [
        .good("Sources/A/A.swift", "let a = safe() // unsafe\nlet b = \"unsafe UnsafePointer\"\n"),
        .bad("Sources/A/A.swift", "\nunsafe a()\n", 2, "`unsafe` outside of a `*+Unsafe.swift`"),
        .bad("Sources/A/A.swift", "let a: UnsafeRawPointer\n", 1, "`UnsafeRawPointer` outside"),
        .bad("Sources/A/A.swift", "a.withUnsafeBytes { $0 }\n", 1, "behind a safe interface"),
        .bad("Tests/ATests/A.swift", "unsafeBitCast(a, to: B.self)\n", 1, "`unsafeBitCast`"),
        .bad("Sources/A/A.swift", "nonisolated(unsafe) var a = 1\n", 1, "`unsafe` outside"),
        .good("Package.swift", ".unsafeFlags([])\n"),
        .good("Sources/A/A+Unsafe.swift", "// SAFETY: it is.\nunsafe a()\nunsafe b()\n"),
        .good("Sources/A/A+Unsafe.swift", "// SAFETY: it\n// is so.\n\(gap)unsafe a()\n"),
        .good("Sources/A/A+Unsafe.swift", "unsafe a() // SAFETY: it is.\n"),
        .good("Sources/A/A+Unsafe.swift", "func a(_ b: UnsafeRawPointer)\n@unsafe struct C\n"),
        .bad("Sources/A/A+Unsafe.swift", "unsafe a()\n", 1, "write `// SAFETY:`"),
        .bad("Sources/A/A+Unsafe.swift", "unsafe a()\n// SAFETY: too late.\n", 1, "a reason"),
        .bad("Sources/A/A+Unsafe.swift", "// SAFETY: far.\n\(gap)a()\nunsafe a()\n", 12, "above"),
        .bad("Sources/A/A+Unsafe.swift", "let a = 1\n", 1, "drop `+Unsafe`"),
    ]

    @Test("unsafe code stands in its own files under a reason", arguments: samples)
    func sample(_ sample: Sample) {
        sample.expect(MemorySafety.findings)
    }
}
