import Testing

@testable import HostReport

@Suite struct ProcTextTests {
    @Test(
        "a kernel's release begins with two numbers, whatever follows",
        arguments: [
            ("5.14.0-427.el9.x86_64", KernelRelease(5, 14)), ("6.18", KernelRelease(6, 18)),
            ("6.1-rc3", KernelRelease(6, 1)), ("5.15.90.1-WSL2", KernelRelease(5, 15)),
            ("", nil), ("6", nil), (".1", nil), ("6.", nil), ("x.1", nil), ("6x.1", nil),
            ("-1.2", nil), ("99999999999999999999.1", nil), ("5.99999999999999999999", nil),
        ])
    func release(text: String, release: KernelRelease?) {
        #expect(KernelRelease(text) == release)
    }

    @Test("releases are ordered by number, not by text")
    func order() {
        #expect(KernelRelease(5, 9) < KernelRelease(5, 14))
        #expect(KernelRelease(5, 14) < KernelRelease(6, 1))
        #expect("\(KernelRelease(5, 14))" == "5.14")
    }

    @Test("file systems are the last word of their line")
    func fileSystems() {
        let text = "nodev\tsysfs\nnodev\ttmpfs\n\text4\n\n\toverlay"
        #expect(ProcText.fileSystems(text) == ["sysfs", "tmpfs", "ext4", "overlay"])
        #expect(ProcText.fileSystems("").isEmpty)
    }

    @Test("words and numbers")
    func words() {
        let names: Set = ["kill_process", "errno", "allow"]
        #expect(ProcText.words("kill_process  errno\nallow\n") == names)
        #expect(ProcText.number("96365\n") == 96365)
        #expect(ProcText.number("") == nil)
        #expect(ProcText.number("-1\n") == nil)
        #expect(ProcText.number("99999999999999999999999\n") == nil)
    }

    @Test("garbage is read without a trap", arguments: [UInt64(1), 7, 20_261])
    func garbage(seed: UInt64) {
        var state = seed
        func next() -> UInt64 {
            // splitmix64
            state &+= 0x9e37_79b9_7f4a_7c15
            var value = state
            value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
            value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
            return value ^ value >> 31
        }
        let pieces = Array("nodev\ttmpfs\n 5.14.0-x\u{0}\r\n9.9é\u{301}+\u{1F468}".utf8)
        for _ in 0..<2000 {
            let bytes = (0..<Int(next() % 40)).map { _ in
                next() % 4 == 0
                    ? UInt8(truncatingIfNeeded: next()) : pieces[Int(next() % UInt64(pieces.count))]
            }
            let text = String(decoding: bytes, as: UTF8.self)
            for name in ProcText.fileSystems(text).union(ProcText.words(text)) {
                #expect(!name.isEmpty && !name.contains("\n"), "seed \(seed)")
            }
            _ = ProcText.number(text)
            if let release = KernelRelease(text) {
                #expect((0...9999).contains(release.major) && (0...9999).contains(release.minor))
            }
        }
    }
}
