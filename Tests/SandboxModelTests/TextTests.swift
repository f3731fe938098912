import Testing

@testable import SandboxModel

@Suite struct QuantityWordsTests {
    @Test(
        "a limit is said exactly, in the largest unit that needs no more than one decimal",
        arguments: [
            (0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (1537, "1537 B"),
            (128 << 20, "128 MiB"), (3 << 29, "1.5 GiB"), ((1 << 30) + 1024, "1048577 KiB"),
            (.max, "18446744073709551615 B"),
        ] as [(UInt64, String)])
    func exact(_ count: UInt64, _ text: String) {
        #expect(Limits.bytes(count) == text)
    }

    @Test(
        "what a node has is rounded down, so that what is said there is enough",
        arguments: [
            (1023, "1023 B"), (1024, "1 KiB"), (24_684_092 << 10, "23.5 GiB"), (8 << 30, "8 GiB"),
            ((1 << 30) - 1, "1023.9 MiB"), (.max, "17179869183.9 GiB"),
        ] as [(UInt64, String)])
    func rounded(_ count: UInt64, _ text: String) {
        #expect(Limits.roundedBytes(count) == text)
    }

    @Test(
        "thousandths of a CPU are said as people write them",
        arguments: [
            (0, "0 CPU"), (1, "0.001 CPU"), (10, "0.01 CPU"), (500, "0.5 CPU"), (2000, "2 CPU"),
            (1250, "1.25 CPU"),
        ] as [(UInt64, String)])
    func cpus(_ milli: UInt64, _ text: String) {
        #expect(Limits.cpus(milli) == text)
    }
}

@Suite struct StepTextTests {
    @Test("a long command is cut in the plan, and a short one is whole")
    func command() {
        let words = ["sh", "-c", "echo hello"]
        #expect(
            "\(PlanStep.execute(command: words))" == "execute `sh -c echo hello` by alcove-init")
        for long in [
            [String](repeating: "word", count: 1 << 16),
            [String(repeating: "e\u{301}", count: 1 << 20)],
        ] {
            let text = "\(PlanStep.execute(command: ["/bin/app"] + long))"
            #expect(text.hasPrefix("execute `/bin/app ") && text.hasSuffix("…` by alcove-init"))
            #expect(text.unicodeScalars.count < 160)
        }
    }

    @Test("a table of a plan may have its steps escaped")
    func escaping() {
        let node = NodeCapabilities(
            memoryBytes: 1 << 30, milliCPUs: 1000, limitKinds: [], cgroupParent: nil,
            cgroupMode: "legacy", maskedPaths: [], readOnlyPaths: [])
        let plan = SandboxPlan(
            for: SandboxSpec(image: "a", command: ["b\nc|d"]), on: node, cgroup: nil)
        let table = PlanDocument.table(of: plan) {
            $0.split(separator: "\n").joined(separator: "_")
        }
        #expect(table.contains("execute `b_c\\|d` by alcove-init"))
        #expect(table.split(separator: "\n").count == plan.steps.count + 2)
    }
}
