import TestSupport
import Testing

@testable import Console

@Suite struct QuantityTests {
    @Test("Quantities are read exactly")
    func accepted() throws {
        #expect(try Quantity.bytes("128MiB") == 134_217_728)
        #expect(try Quantity.bytes("64KiB") == 65536)
        #expect(try Quantity.bytes("1.5GiB") == 1_610_612_736)
        #expect(try Quantity.bytes("512B") == 512)
        #expect(try Quantity.bytes("18446744073709551615") == UInt64.max)
        #expect(try Quantity.bytes("0") == 0)
        #expect(try Quantity.milliCPUs("2") == 2000)
        #expect(try Quantity.milliCPUs("0.001") == 1)
        #expect(try Quantity.milliCPUs("0.10000000000000000000000000000") == 100)
        #expect(try Quantity.duration("250ms") == .milliseconds(250))
        #expect(try Quantity.duration("1.5m") == .seconds(90))
        #expect(try Quantity.duration("1h") == .seconds(3600))
        #expect(try Quantity.duration("3µs") == .microseconds(3))
        #expect(try Quantity.bytesPerSecond("100Mbit/s") == 12_500_000)
        #expect(try Quantity.bytesPerSecond("1KiB/s") == 1024)
        #expect(try Quantity.countPerSecond("1000/s") == 1000)
        #expect(try Quantity.integer("-12") == -12)
    }

    @Test(
        "Sizes that are wrong are refused",
        arguments: [
            "", "MiB", "128MB", "128M", "128mib", "1 MiB", "-1", "+1", "1.", ".5KiB", "0.3B",
            "1.2.3KiB",
            "16777216TiB", "18446744073709551616", "1e3", "0x10", "١٢", "1\u{301}",
            "0.00000000000000000000000000000000000001GiB",
        ])
    func badSizes(text: String) {
        #expect(throws: FlagError.self) { try Quantity.bytes(text) }
    }

    @Test("Other quantities that are wrong are refused")
    func refused() {
        for text in ["", "10", "s", "1d", "-1s", "1.5ns", "99999999999h", "1 s"] {
            #expect(throws: FlagError.self) { try Quantity.duration(text) }
        }
        for text in ["", "0.0001", "1m", "-1", "9223372036854775808", "1,5"] {
            #expect(throws: FlagError.self) { try Quantity.milliCPUs(text) }
        }
        for text in ["", "/s", "10/s", "10MB/s", "1bit/s", "10MiB", "0.001kbit/s"] {
            #expect(throws: FlagError.self) { try Quantity.bytesPerSecond(text) }
        }
        for text in ["", "1e9", "--1", "9223372036854775808", "+1"] {
            #expect(throws: FlagError.self) { try Quantity.integer(text) }
        }
        for text in ["", "A", "=x", "A=\0"] {
            #expect(throws: FlagError.self) { try Quantity.pair(text) }
        }
    }

    @Test("A pair is asked for in the words of its flag")
    func pairForm() throws {
        #expect(throws: FlagError("`A` has no `=`", hint: "write NAME=VALUE")) {
            try Quantity.pair("A", form: "NAME=VALUE")
        }
        let command = Command(
            "run", summary: "run",
            flags: [Flag("rlimit", value: "NAME=SOFT", repeatable: true, help: "a limit")])
        let parsed = try command.parse(["--rlimit", "=1"])
        #expect(
            throws: FlagError("`--rlimit`: the key before `=` is empty", hint: "write NAME=SOFT")
        ) {
            try parsed.pairs("rlimit")
        }
    }

    @Test("Values of the environment never appear in an error")
    func secrets() {
        #expect {
            _ = try Quantity.pair("KEY=hidden\0")
        } throws: {
            !String(describing: $0).contains("hidden")
        }
    }

    @Test("What is written reads back the same", arguments: 1...4)
    func roundTrip(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        for _ in 0..<2000 {
            let shift = UInt64.random(in: 0..<64, using: &random)
            let value = UInt64.random(in: 0...UInt64.max, using: &random) >> shift
            #expect(try Quantity.bytes(Quantity.text(bytes: value)) == value)
            let round = (value >> 12) << 12
            #expect(try Quantity.bytes(Quantity.text(bytes: round)) == round)
            #expect(
                try Quantity.bytesPerSecond(Quantity.text(bytesPerSecond: value)) == value)
            let small = Int(value >> 2)
            #expect(try Quantity.milliCPUs(Quantity.text(milliCPUs: small)) == small)
            let time = Duration.nanoseconds(Int64(value >> 1))
            #expect(try Quantity.duration(Quantity.text(time)) == time)
        }
    }

    @Test("Random texts never trap", arguments: 1...4)
    func fuzz(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let alphabet = Array("0123456789.-+eMKGTiBbmsunhk/ µ=")
        for _ in 0..<3000 {
            let text = String(
                (0..<Int.random(in: 0..<24, using: &random)).map { _ in
                    alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
                })
            if let value = try? Quantity.bytes(text) {
                #expect((try? Quantity.bytes(Quantity.text(bytes: value))) == value)
            }
            if let value = try? Quantity.duration(text) {
                #expect((try? Quantity.duration(Quantity.text(value))) == value)
            }
            _ = try? Quantity.milliCPUs(text)
            _ = try? Quantity.bytesPerSecond(text)
            _ = try? Quantity.pair(text)
        }
    }
}
