import Foundation

/// Files and functions that a reader can hold.
enum Size {
    static let fileLines = 500
    static let functionLines = 70

    static func findings(_ file: SourceFile) -> [Finding] {
        guard [.swift, .c, .shell].contains(file.language), !file.isGenerated else { return [] }
        var findings: [Finding] = []
        if file.lines.count > fileLines {
            findings.append(
                file.finding(
                    fileLines + 1,
                    "\(file.lines.count) lines: split the file by meaning, at most \(fileLines)"))
        }
        let functions =
            switch file.language {
            case .swift: swiftFunctions(file.code)
            case .c: cFunctions(file.code)
            default: [FunctionSpan]()
            }
        for function in functions where function.lines > functionLines {
            findings.append(
                file.finding(
                    function.first,
                    "`\(function.name)` has \(function.lines) lines: split it by meaning, at most "
                        + "\(functionLines)"))
        }
        return findings
    }

    struct FunctionSpan: Equatable {
        let name: String
        let first: Int
        let last: Int
        var lines: Int { last - first + 1 }
    }

    private static let declaration = Pattern(
        #"(?<![.\w])(?:func\s+([^\s(<]+)|(init)[?!]?\s*[(<]|(deinit)\b|(subscript)\s*[(<])"#)
    private static let nextDeclaration = Pattern(
        #"^\s*([@\w()]+\s+)*(func|var|let|init|subscript|case|associatedtype|typealias)\b"#)

    static func swiftFunctions(_ code: String) -> [FunctionSpan] {
        let lines = SourceFile.lines(code)
        return declaration.matches(in: code).compactMap { match in
            let name = match.groups.dropFirst().first { !$0.isEmpty } ?? ""
            guard let last = end(lines: lines, first: match.line - 1, after: match.groups[0])
            else { return nil }
            return FunctionSpan(name: name, first: match.line, last: last + 1)
        }
    }

    /// The index of the line that closes the body of what is declared on line `first`; nil for a
    /// declaration without a body.
    private static func end(lines: [String], first: Int, after head: String) -> Int? {
        var brackets = 0
        var braces = 0
        for index in first..<lines.count {
            var line = Array(lines[index].utf8)
            if index == first, let start = lines[index].range(of: firstLine(of: head)) {
                line = Array(lines[index][start.lowerBound...].utf8)
            } else if brackets == 0, braces == 0, !nextDeclaration.lines(in: lines[index]).isEmpty {
                return nil
            }
            for byte in line {
                switch byte {
                case UInt8(ascii: "("), UInt8(ascii: "["): brackets += 1
                case UInt8(ascii: ")"), UInt8(ascii: "]"): brackets -= 1
                case UInt8(ascii: "{") where brackets == 0 || braces > 0: braces += 1
                case UInt8(ascii: "}") where brackets == 0 || braces > 0:
                    braces -= 1
                    if braces == 0 { return index }
                    if braces < 0 { return nil }
                default: break
                }
            }
        }
        return nil
    }

    private static func firstLine(of text: String) -> String {
        String(text.prefix { $0 != "\n" })
    }

    /// Functions of C: a brace that opens at depth 0 on a line after a parenthesis closed.
    static func cFunctions(_ code: String) -> [FunctionSpan] {
        var functions: [FunctionSpan] = []
        var depth = 0
        var head = ""
        var headLine = 0
        var isDirective = false
        for (index, line) in SourceFile.lines(code).enumerated() {
            let continues = isDirective
            isDirective =
                (continues || line.drop { $0 == " " }.hasPrefix("#")) && line.hasSuffix("\\")
            if continues || line.drop(while: { $0 == " " }).hasPrefix("#") { continue }
            for character in line {
                if depth == 0, head.isEmpty, character != " " { headLine = index + 1 }
                switch character {
                case "{":
                    depth += 1
                    if depth > 1 { continue }
                case "}":
                    depth -= 1
                    if depth > 0 { continue }
                    if let name = functionName(head) {
                        functions.append(FunctionSpan(name: name, first: headLine, last: index + 1))
                    }
                    head = ""
                case ";" where depth == 0: head = ""
                default: if depth == 0, !head.isEmpty || character != " " { head.append(character) }
                }
            }
            if depth == 0, !head.isEmpty { head.append(" ") }
        }
        return functions
    }

    private static let cHead = Pattern(#"(\w+)\s*\([^=]*\)[\s\w()]*$"#)

    private static func functionName(_ head: String) -> String? {
        cHead.matches(in: head).first?.groups[1]
    }
}
