/// The head of a request in HTTP/1, as far as a server of one page needs it.
struct HTTPRequest: Hashable, Sendable {
    let method: String
    /// Without what follows a question mark.
    let path: String

    enum Reading: Hashable, Sendable {
        /// The head is not whole.
        case incomplete
        case complete(HTTPRequest)
        /// With the status that says why.
        case refused(HTTPStatus)
    }

    static let longestHead = 8192
    static let longestLine = 2048

    /// Reads what has come so far.
    static func read(_ bytes: [UInt8]) -> Reading {
        var lines: [ArraySlice<UInt8>] = []
        var rest = bytes[...]
        while let end = rest.firstIndex(where: { $0 < 0x20 && $0 != UInt8(ascii: "\t") }) {
            // What speaks another protocol is refused at once, and does not wait for an answer.
            guard rest[end] == UInt8(ascii: "\r"), end < longestHead else {
                return .refused(end < longestHead ? .badRequest : .headTooLarge)
            }
            guard end + 1 < bytes.count else { break }
            guard bytes[end + 1] == UInt8(ascii: "\n") else { return .refused(.badRequest) }
            let line = rest[rest.startIndex..<end]
            rest = rest[(end + 2)...]
            if line.isEmpty {
                guard let first = lines.first else { return .refused(.badRequest) }
                return read(line: first, fields: lines.dropFirst())
            }
            lines.append(line)
        }
        if bytes.count >= longestHead { return .refused(.headTooLarge) }
        if lines.isEmpty, rest.count > longestLine { return .refused(.uriTooLong) }
        return .incomplete
    }

    private static func read(
        line: ArraySlice<UInt8>, fields: ArraySlice<ArraySlice<UInt8>>
    ) -> Reading {
        guard line.count <= longestLine else { return .refused(.uriTooLong) }
        let words = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard words.count == 3, !words[0].isEmpty, words[0].allSatisfy(isToken),
            words[1].first == UInt8(ascii: "/"),
            words[1].allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else { return .refused(.badRequest) }
        let version = String(decoding: words[2], as: UTF8.self)
        guard version.hasPrefix("HTTP/") else { return .refused(.badRequest) }
        guard version == "HTTP/1.1" || version == "HTTP/1.0" else {
            return .refused(.versionNotSupported)
        }
        var hosts = 0
        for field in fields {
            guard let colon = field.firstIndex(of: UInt8(ascii: ":")), colon > field.startIndex,
                field[..<colon].allSatisfy(isToken),
                !field[colon...].contains(where: { $0 < 0x20 && $0 != UInt8(ascii: "\t") })
            else { return .refused(.badRequest) }
            if String(decoding: field[..<colon], as: UTF8.self).lowercased() == "host" {
                hosts += 1
            }
        }
        guard hosts == 1 || hosts == 0 && version == "HTTP/1.0" else {
            return .refused(.badRequest)
        }
        let target = words[1].prefix { $0 != UInt8(ascii: "?") }
        return .complete(
            HTTPRequest(
                method: String(decoding: words[0], as: UTF8.self),
                path: String(decoding: target, as: UTF8.self)))
    }

    /// What names of methods and fields are made of.
    private static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}

/// How a request ended.
struct HTTPStatus: Hashable, Sendable {
    let code: Int
    let reason: String

    static let ok = HTTPStatus(code: 200, reason: "OK")
    static let badRequest = HTTPStatus(code: 400, reason: "Bad Request")
    static let notFound = HTTPStatus(code: 404, reason: "Not Found")
    static let methodNotAllowed = HTTPStatus(code: 405, reason: "Method Not Allowed")
    static let timedOut = HTTPStatus(code: 408, reason: "Request Timeout")
    static let uriTooLong = HTTPStatus(code: 414, reason: "URI Too Long")
    static let headTooLarge = HTTPStatus(code: 431, reason: "Request Header Fields Too Large")
    static let versionNotSupported = HTTPStatus(code: 505, reason: "HTTP Version Not Supported")

    /// The whole answer. The connection ends after it.
    ///
    /// - Parameter hasBody: false for the answer to HEAD, which only says how long it would be.
    func answer(type: String, body: [UInt8], hasBody: Bool = true) -> [UInt8] {
        var head = "HTTP/1.1 \(code) \(reason)\r\n"
        if self == .methodNotAllowed { head += "Allow: GET, HEAD\r\n" }
        head += "Content-Type: \(type)\r\n"
        head += "Content-Length: \(body.count)\r\n"
        head += "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"
        head += "Connection: close\r\n\r\n"
        return Array(head.utf8) + (hasBody ? body : [])
    }

    /// An answer of one line.
    func answer(_ line: String, hasBody: Bool = true) -> [UInt8] {
        answer(
            type: "text/plain; charset=utf-8", body: Array("\(line)\n".utf8), hasBody: hasBody)
    }
}
