/// Swift for one enumeration.
struct EnumGenerator {
    private let enumeration: EnumProto
    private let comments: [[Int32]: String]
    private let path: [Int32]

    init(_ enumeration: EnumProto, _ comments: [[Int32]: String], path: [Int32]) {
        self.enumeration = enumeration
        self.comments = comments
        self.path = path
    }

    func write(into source: inout SourceText) throws(GeneratorError) {
        let cases = enumeration.values.map {
            SwiftNames.enumCase($0.name, of: enumeration.name)
        }
        let numbers = enumeration.values.map(\.number)
        guard Set(numbers).count == numbers.count, Set(cases).count == cases.count,
            !cases.contains("unrecognized")
        else {
            throw GeneratorError("two values of `\(enumeration.name)` are the same in Swift")
        }
        source.documentation(comments[path])
        try source.block("public enum \(SwiftNames.type(enumeration.name)): OpenEnumeration") {
            (source) throws(GeneratorError) in
            for (index, name) in cases.enumerated() {
                source.documentation(comments[path + [2, Int32(index)]])
                source.line("case \(name)")
            }
            source.line("/// A number without a name here.")
            source.line("case unrecognized(Int32)")
            source.line()
            try source.block("public init(rawValue: Int32)") { (source) throws(GeneratorError) in
                source.line("switch rawValue {")
                for (name, number) in zip(cases, numbers) {
                    source.line("case \(number): self = .\(name)")
                }
                source.line("default: self = .unrecognized(rawValue)")
                source.line("}")
            }
            source.line()
            try source.block("public var rawValue: Int32") { (source) throws(GeneratorError) in
                source.line("switch self {")
                for (name, number) in zip(cases, numbers) {
                    source.line("case .\(name): \(number)")
                }
                source.line("case .unrecognized(let number): number")
                source.line("}")
            }
        }
    }
}
