import Foundation
import Testing

/// The machine-readable result of `alcove run`, read strictly: a key too many or too few fails.
struct ResultDocument {
    struct Unexpected: Error, CustomStringConvertible {
        let description: String
    }

    struct Limit: Equatable {
        let kind: String
        let request: String
        let holds: Bool
        let reason: String?
    }

    let ending: String
    let exitCode: Int
    let signal: String?
    let deniedCall: String?
    let deniedCalls: Int?
    let errorCode: String?
    let errorMessage: String?
    let errorHint: String?
    let limits: [Limit]
    let usage: [String: Int]
    let timeline: [(what: String, nanoseconds: Int)]

    init(_ text: String) throws {
        guard text.hasSuffix("}\n"), !text.dropLast().contains("\n") else {
            throw Unexpected(description: "not one line: `\(text)`")
        }
        let value = try JSONSerialization.jsonObject(with: Data(text.utf8))
        let optional = ["signal", "denied_call", "denied_calls", "error"]
        let object = try Self.object(
            value, keys: ["ending", "exit_code", "limits", "usage", "timeline"], or: optional)
        ending = try Self.value(object, "ending")
        exitCode = try Self.value(object, "exit_code")
        if let value = object["signal"] {
            let signal = try Self.object(value, keys: ["number", "name"])
            let number: Int = try Self.value(signal, "number")
            guard exitCode == 128 + number else {
                throw Unexpected(description: "signal \(number), exit code \(exitCode)")
            }
            self.signal = try Self.value(signal, "name")
        } else {
            signal = nil
        }
        deniedCall = try object["denied_call"].map { _ in try Self.value(object, "denied_call") }
        deniedCalls = try object["denied_calls"].map { _ in try Self.value(object, "denied_calls") }
        let error = try object["error"].map {
            try Self.object($0, keys: ["code", "message", "hint"])
        }
        errorCode = try error.map { try Self.value($0, "code") }
        errorMessage = try error.map { try Self.value($0, "message") }
        errorHint = error?["hint"] as? String
        limits = try Self.list(object, "limits").map { value in
            let limit = try Self.object(value, keys: ["kind", "request", "holds", "reason"])
            return try Limit(
                kind: Self.value(limit, "kind"), request: Self.value(limit, "request"),
                holds: Self.value(limit, "holds"), reason: limit["reason"] as? String)
        }
        let usage = try Self.object(
            object["usage"] ?? "", keys: ["user_us", "system_us", "peak_resident_kib"])
        self.usage = try usage.mapValues { _ in 0 }.reduce(into: [:]) {
            $0[$1.key] = try Self.value(usage, $1.key)
        }
        timeline = try Self.list(object, "timeline").map { value in
            let moment = try Self.object(value, keys: ["what", "ns"])
            return (try Self.value(moment, "what"), try Self.value(moment, "ns"))
        }
    }

    private static func object(
        _ value: Any, keys: [String], or optional: [String] = []
    ) throws -> [String: Any] {
        guard let object = value as? [String: Any],
            Set(object.keys).subtracting(optional) == Set(keys)
        else { throw Unexpected(description: "`\(value)` has not the keys \(keys)") }
        return object
    }

    private static func list(_ object: [String: Any], _ key: String) throws -> [Any] {
        guard let list = object[key] as? [Any] else {
            throw Unexpected(description: "`\(key)` is no list")
        }
        return list
    }

    private static func value<Value>(_ object: [String: Any], _ key: String) throws -> Value {
        guard let value = object[key] as? Value else {
            throw Unexpected(description: "`\(key)` is `\(object[key] ?? "missing")`")
        }
        return value
    }
}
