import Foundation
public import Testing

/// A need that `ALCOVE_NEEDS_REQUIRED` names and the host lacks: the test fails.
public struct RequiredNeedMissing: Error, CustomStringConvertible, Equatable {
    public let need: Need

    public var description: String {
        "\(need.sentence), and ALCOVE_NEEDS_REQUIRED names `\(need.rawValue)`"
    }
}

/// Which needs must be met here: a test that lacks one of these fails where others are skipped.
public struct RequiredNeeds: Sendable, Equatable {
    public let needs: Set<Need>
    /// Words of the list that name no need.
    public let unknown: [String]

    /// Reads the list of `ALCOVE_NEEDS_REQUIRED`: names with commas between, or `all`.
    public init(_ list: String) {
        let words = list.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        needs = words.contains("all") ? Set(Need.allCases) : Set(words.compactMap(Need.init))
        unknown = words.filter { $0 != "all" && Need(rawValue: $0) == nil }
    }

    /// Those of this process.
    public static let ofEnvironment = RequiredNeeds(
        ProcessInfo.processInfo.environment["ALCOVE_NEEDS_REQUIRED"] ?? "")

    /// Whether a test with these missing needs can go on: true with none, false when it is to be
    /// skipped.
    public func permits(missing: [Need]) throws(RequiredNeedMissing) -> Bool {
        for need in missing where needs.contains(need) {
            throw RequiredNeedMissing(need: need)
        }
        return missing.isEmpty
    }
}

extension Trait where Self == ConditionTrait {
    /// Runs the test only where the host has all of these.
    ///
    /// Elsewhere it is skipped with a sentence that names what is missing, or fails where
    /// `ALCOVE_NEEDS_REQUIRED` names it, so that nothing is skipped in silence.
    public static func needs(
        _ needs: Need..., sourceLocation: SourceLocation = #_sourceLocation
    ) -> Self {
        let missing = needs.filter { !$0.isMet }
        let why = missing.map(\.sentence).joined(separator: "; ")
        return .enabled(Comment(rawValue: why), sourceLocation: sourceLocation) {
            try RequiredNeeds.ofEnvironment.permits(missing: missing)
        }
    }
}
