import SandboxModel
import Testing

@Suite struct CallPolicyWordsTests {
    typealias Condition = CallPolicy.Condition

    @Test(
        "a condition reads as what it tests",
        arguments: [
            (Condition(argument: 1, .equal(3)), "argument 1 is 3"),
            (Condition(argument: 0, .notEqual(0x541c)), "argument 0 is not 0x541c"),
            (.word(2, equals: 16), "argument 2 is 16"),
            (.bits(0, 0x7e02_0000, equal: 0), "argument 0 has none of the bits 0x7e020000"),
            (.bits(3, 0x6, equal: 0x6), "argument 3 has all of the bits 0x6"),
            (.bits(3, 0x6, equal: 0x2), "of the bits 0x6 argument 3 has 0x2 alone"),
        ])
    func condition(_ condition: Condition, _ text: String) {
        #expect("\(condition)" == text)
    }

    @Test("a case names all of its conditions")
    func cases() throws {
        let socket = try #require(CallPolicy.standard.rule(for: "socket"))
        #expect(socket.cases.last?.words == "when argument 0 is 16 and argument 2 is 0")
        #expect(CallPolicy.Case(when: [], .allow).words == "always")
    }
}
