import Foundation

/// What Google's implementation of protocol buffers makes of messages and files, by `judge.py`.
public enum MessageJudge {
    public enum Verdict: Sendable {
        /// A file's own descriptor.
        case file(name: String, descriptor: [UInt8])
        case method(path: String, kind: String, request: String, response: String)
        /// Bytes of a message, and those of the same message in their one true order.
        case same(type: String, bytes: [UInt8], canonical: [UInt8])
        /// Bytes that are no message.
        case broken(type: String, bytes: [UInt8])
        /// Bytes that implementations disagree on: a known field in another encoding, for one.
        case doubtful(type: String, bytes: [UInt8])
    }

    /// The judge failed, or said what this does not understand.
    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    /// - Parameters:
    ///   - rounds: how many messages of each type.
    ///   - folder: where the files are, below the package.
    ///   - files: paths below the folder, as other files import them.
    public static func verdicts(
        seed: UInt64, rounds: Int, folder: String, files: [String]
    ) throws -> [Verdict] {
        let result = try run(
            PythonEnvironment.interpreter,
            arguments: [
                PackageRoot.path("Tests/TestSupport/judge.py"), "\(seed)", "\(rounds)",
                PackageRoot.path(folder),
            ] + files, timeout: .seconds(300))
        guard result.succeeded else { throw Failure(description: result.errorOutput) }
        return try result.outputBytes.split(separator: UInt8(ascii: "\n")).map { line in
            try verdict(line.split(separator: UInt8(ascii: " ")))
        }
    }

    private static func verdict(_ words: [ArraySlice<UInt8>]) throws(Failure) -> Verdict {
        func text(_ index: Int) -> String { String(decoding: words[index], as: UTF8.self) }
        switch (text(0), words.count) {
        case ("file", 3): return .file(name: text(1), descriptor: bytes(words[2]))
        case ("method", 5):
            return .method(path: text(1), kind: text(2), request: text(3), response: text(4))
        case ("same", 4):
            return .same(type: text(1), bytes: bytes(words[2]), canonical: bytes(words[3]))
        case ("broken", 3): return .broken(type: text(1), bytes: bytes(words[2]))
        case ("doubtful", 3): return .doubtful(type: text(1), bytes: bytes(words[2]))
        default: throw Failure(description: "the judge says `\(text(0))`")
        }
    }

    private static func bytes(_ word: ArraySlice<UInt8>) -> [UInt8] {
        guard word.count > 1 else { return [] }
        let digits = word.map { $0 < UInt8(ascii: "a") ? $0 - 48 : $0 - 87 }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
}
