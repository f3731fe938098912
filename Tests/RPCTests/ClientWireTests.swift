import Testing

@testable import RPC

@Suite struct ResponseHeadTests {
    private func head(_ fields: [(String, String)], limit: Int = 1000) -> ResponseHead {
        var head = ResponseHead(limit: limit)
        for (name, value) in fields { head.add(name, Array(value.utf8)) }
        return head
    }

    private let good = [(":status", "200"), ("content-type", "application/grpc+proto")]

    @Test("an answer that is gRPC is taken, any other is told by its HTTP status or its type")
    func refusals() {
        #expect(head(good).refusal == nil)
        let codes: [(String, Status.Code)] = [
            ("400", .internal), ("401", .unauthenticated), ("403", .permissionDenied),
            ("404", .unimplemented), ("429", .unavailable), ("502", .unavailable),
            ("503", .unavailable), ("504", .unavailable), ("500", .unknown), ("x", .unknown),
        ]
        for (status, code) in codes {
            let head = head([(":status", status), ("content-type", "text/html")])
            #expect(head.refusal?.code == code && head.ending.code == code, "\(status)")
        }
        let page = head([(":status", "200"), ("content-type", "text/html")])
        #expect(page.refusal?.code == .unknown && page.ending.code == .unknown)
        #expect(page.refusal?.message.contains("`text/html`") == true)
        #expect(head([(":status", "103")]).isInterim)
        #expect(!head(good).isInterim)
    }

    @Test("the status of an answer is its own, whatever HTTP says")
    func endings() {
        let status = [("grpc-status", "5"), ("grpc-message", "no%20%C3%BC%zz%4")]
        let expected = Status(.notFound, "no ü%zz%4")
        #expect(head(good + status).ending == expected)
        #expect(head(status).ending == expected)
        #expect(head([(":status", "404")] + status).refusal == expected)
        #expect(head([("grpc-status", "0"), ("grpc-message", "well")]).ending == .ok)
        for text in ["", "17", "-1", "x", "99999999999999999999"] {
            #expect(head([("grpc-status", text)]).ending.code == .unknown, "\(text)")
        }
        #expect(head([("x", "y")]).ending == Status(.unknown, "the answer ends without a status"))
        #expect(head(good).ending == Status(.unknown, "the answer ends without a status"))
        let details = head([("grpc-status", "3"), ("grpc-status-details-bin", "AQID")])
        #expect(details.ending == Status(.invalidArgument, details: [1, 2, 3]))
        let broken = head([("grpc-status", "3"), ("grpc-status-details-bin", "!")])
        #expect(broken.ending == Status(.invalidArgument))
    }

    @Test("metadata is kept, what is none fails the call, and so does too much of it")
    func metadata() throws {
        let answer = head(good + [("x-a", "b"), ("x-b-bin", "AQ,Ag"), ("grpc-odd", "c")])
        #expect(answer.metadata["x-a"] == "b" && answer.metadata.entries.count == 3)
        #expect(head([("grpc-status", "0"), ("x-b-bin", "!")]).ending.code == .internal)
        #expect(head([("grpc-status", "4"), ("x-b-bin", "!")]).ending.code == .deadlineExceeded)
        let long = head([("grpc-status", "0"), ("x", String(repeating: "y", count: 1000))])
        #expect(long.ending.code == .resourceExhausted && long.metadata.isEmpty)
    }

    @Test("a span is said in the finest unit that fits, and never shorter than it is")
    func timeouts() {
        let texts: [(UInt64, String)] = [
            (1, "1n"), (99_999_999, "99999999n"), (100_000_000, "100000u"),
            (99_999_999_001, "100000m"), (5_000_000_000_000, "5000000m"),
            (100_000_000_000_000, "100000S"), (.max, "5124096H"),
        ]
        for (nanoseconds, text) in texts {
            #expect(CallTimeout.text(nanoseconds: nanoseconds) == text)
        }
        var nanoseconds: UInt64 = 1
        for _ in 0..<63 {
            let read = CallTimeout.nanoseconds(
                Array(CallTimeout.text(nanoseconds: nanoseconds).utf8))
            #expect(read.map { $0 >= nanoseconds } == true, "\(nanoseconds)")
            nanoseconds = nanoseconds &* 2 &+ 1
        }
    }

    @Test("a message survives its escapes", arguments: ["", "%", "a b", "ü€😀\n\0%41", "100 %"])
    func escapes(text: String) {
        #expect(Status.decodedMessage(Status(.unknown, text).encodedMessage) == text)
    }
}
