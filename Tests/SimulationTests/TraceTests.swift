import Simulation
import TestSupport
import Testing

@Suite struct TraceTests {
    private func read(_ text: String) throws -> Trace {
        var reader = TraceReader()
        try reader.read(Array(text.utf8))
        return try reader.finish()
    }

    private func fault(_ text: String) -> String {
        do {
            _ = try read(text)
            return "none"
        } catch {
            return "\(error)"
        }
    }

    @Test("a trace that was written is read back the same, in pieces of any size", arguments: 1...4)
    func roundTrip(seed: UInt64) throws {
        let kinds: [TraceGenerator.Kind] = [.bursty, .rare, .spiky]
        let trace = TraceGenerator(seed: seed, functionsOfEach: 2, seconds: 20_000).trace(of: kinds)
        var text = ""
        trace.write { text += $0 }
        var reader = TraceReader()
        let bytes = Array(text.utf8)
        var random = SeededRandom(seed: seed)
        var place = 0
        while place < bytes.count {
            let next = min(bytes.count, place + Int.random(in: 1...5000, using: &random))
            try reader.read(Array(bytes[place..<next]))
            place = next
        }
        let copy = try reader.finish()
        #expect(copy.count == trace.count && trace.count > 100)
        for function in trace.functions where !function.invocations.isEmpty {
            #expect(copy.functions.contains(function))
        }
    }

    @Test("each fault is told with its line")
    func faults() {
        let head = Trace.header + "\n"
        #expect(fault("") == "line 1: the trace is empty")
        #expect(fault("a,b\n") == "line 1: the header is not `\(Trace.header)`")
        #expect(fault(head) == "line 1: the trace has a header and no invocation")
        #expect(fault(head + "f,k,0,1,128\n\n") == "line 3: has 1 fields, and not 5")
        #expect(fault(head + "f,k,0,1,128,\n") == "line 2: has 6 fields, and not 5")
        #expect(fault(head + "f,k,-1,1,128\n") == "line 2: arrival_us is not a whole number")
        #expect(fault(head + "f,k,1,,128\n").hasPrefix("line 2: duration_us is not a whole"))
        #expect(fault(head + "f,k,0,1,0\n") == "line 2: memory_mib is not from 1 to 1048576")
        #expect(fault(head + "f,k,1000000000000000000,1,1\n").hasPrefix("line 2: arrival_us is"))
        #expect(fault(head + "f,k,999999999999999999,1,1\n").hasPrefix("line 2: arrival_us is"))
        #expect(fault(head + "f,k,5,1,1\nf,k,4,1,1\n").hasPrefix("line 3: arrives before"))
        #expect(fault(head + "f,k,5,1,1\nf,x,5,1,1\n") == "line 3: `f` was of class `k` before")
        #expect(fault(head + "f,k,5,1,1\nf,k,5,1,2\n") == "line 3: `f` had 1 MiB before")
        #expect(fault(head + "f\u{1b},k,5,1,1\n").hasPrefix("line 2: function is not 1 to 128"))
        #expect(fault(head + "f,,5,1,1\n").hasPrefix("line 2: class is not 1 to 128"))
        let long = String(repeating: "x", count: 600)
        #expect(fault(head + long) == "line 2: is longer than 512 bytes")
    }

    @Test("carriage returns before line breaks, and a last line without one, are taken")
    func lineBreaks() throws {
        let trace = try read(Trace.header + "\r\nf,k,5,1,64\r\ng,k,5,2,128")
        #expect(trace.functions.map(\.name) == ["f", "g"] && trace.length == 5)
        #expect(trace.functions[1].invocations == [Trace.Invocation(arrival: 5, duration: 2)])
    }

    @Test("mutated traces are read or refused with a line, and never trap", arguments: 1...20)
    func mutated(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let trace = TraceGenerator(seed: seed, functionsOfEach: 1, seconds: 3000)
            .trace(of: [.steady])
        var text = ""
        trace.write { text += $0 }
        let good = Array(text.utf8.prefix(4000))
        for _ in 0..<100 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: place)
                default:
                    bytes.insert(Array(",\n0-9".utf8).randomElement(using: &random) ?? 0, at: place)
                }
            }
            var reader = TraceReader()
            do throws(TraceError) {
                try reader.read(bytes)
                let trace = try reader.finish()
                #expect(trace.count > 0, "seed \(seed)")
            } catch {
                #expect(error.line >= 1 && !error.message.isEmpty, "seed \(seed)")
            }
        }
    }

    @Test("a seed gives the same trace, another one another, and classes do not disturb each other")
    func seeds() {
        func trace(_ seed: UInt64, _ kinds: [TraceGenerator.Kind]) -> Trace {
            TraceGenerator(seed: seed, functionsOfEach: 2, seconds: 5000).trace(of: kinds)
        }
        #expect(trace(1, [.steady, .bursty]) == trace(1, [.steady, .bursty]))
        #expect(trace(1, [.steady]) != trace(2, [.steady]))
        #expect(trace(1, [.steady, .bursty]).functions[2] == trace(1, [.bursty]).functions[0])
        for function in trace(3, TraceGenerator.Kind.allCases).functions {
            let times = function.invocations.map(\.arrival)
            #expect(times == times.sorted() && times.allSatisfy { $0 < 5_000_000_000 })
            #expect(function.invocations.allSatisfy { $0.duration > 0 })
        }
    }
}
