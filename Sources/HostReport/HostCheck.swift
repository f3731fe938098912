/// One thing that a host was looked at for.
public struct HostCheck: Hashable, Sendable {
    public enum State: String, CaseIterable, Sendable {
        /// As it should be.
        case good
        /// Sandboxes start, and something about them is less than it could be.
        case limited
        /// Not there.
        case missing
    }

    public let subject: HostSubject
    public let state: State
    /// What was found, in a few words.
    public let found: String

    /// What to do about it; nothing when all is good.
    public var remedy: String? { state == .good ? nil : subject.remedy }
    /// Whether no process sandbox can start because of it.
    public var isBlocking: Bool { state == .missing && subject.isRequired }
}

/// What can be found out about a host: what it is for, and what to do where it is not as it should
/// be. The texts stand here once, for the command and for the docs.
public struct HostSubject: Hashable, Sendable {
    public enum Group: String, CaseIterable, Sendable {
        case kernel
        case privileges
        case cgroups
        case fileSystems = "file systems"
        case node
        case kvm = "KVM"
    }

    /// A short name that does not change, for programs.
    public let name: String
    public let group: Group
    public let title: String
    /// What needs it.
    public let meaning: String
    public let remedy: String
    /// Whether no process sandbox starts without it.
    public let isRequired: Bool

    init(
        _ name: String, _ group: Group, _ title: String, required: Bool = false, meaning: String,
        remedy: String
    ) {
        self.name = name
        self.group = group
        self.title = title
        self.meaning = meaning
        self.remedy = remedy
        isRequired = required
    }

    func check(_ state: HostCheck.State, _ found: String) -> HostCheck {
        HostCheck(subject: self, state: state, found: found)
    }

    /// A check of what is there or not.
    func check(_ isPresent: Bool, otherwise: HostCheck.State) -> HostCheck {
        check(isPresent ? .good : otherwise, isPresent ? "present" : "absent")
    }
}

/// The docs' table of every subject.
public enum HostSubjectDocument {
    public static func table() -> String {
        var lines = ["| name | what it means | what to do | |", "|---|---|---|---|"]
        for subject in HostSubject.all {
            lines.append(
                "| `\(subject.name)` | \(subject.meaning) | \(subject.remedy) | "
                    + (subject.isRequired ? "required |" : "|"))
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
