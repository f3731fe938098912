internal import LinuxKernel
public import SandboxModel

extension ImageTree {
    /// The user that a text names: `1000`, `1000:1000`, or a name in the image's `/etc/passwd`,
    /// with its group or a number after a colon. Nothing for a text that names none.
    public func user(named text: String) -> SandboxSpec.User? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2, let name = parts.first, !name.isEmpty else { return nil }
        let found: SandboxSpec.User
        if let number = Self.number(name) {
            found = SandboxSpec.User(user: number, group: number)
        } else if let entry = passwordEntry(named: name) {
            found = entry
        } else {
            return nil
        }
        guard parts.count == 2 else { return found }
        guard let group = Self.number(parts[1]) else { return nil }
        return SandboxSpec.User(user: found.user, group: group)
    }

    /// Digits alone: the standard library would take `-0` for root.
    private static func number(_ text: Substring) -> UInt32? {
        text.utf8.allSatisfy { (48...57).contains($0) } ? UInt32(text) : nil
    }

    /// An entry `name:password:user:group:…`. The file is the image's: it is read to a bound, and
    /// resolved inside.
    private func passwordEntry(named name: Substring) -> SandboxSpec.User? {
        guard
            let file = try? Files.open(
                "etc/passwd", at: directory, [.readOnly, .nonBlocking],
                resolving: [.inRoot, .noMagicLinks]),
            (try? Files.status(of: file))?.kind == .regular,
            let content = try? Files.read(file, limit: 1 << 20, subject: "etc/passwd")
        else { return nil }
        for line in content.split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count >= 4, fields[0] == name else { continue }
            guard let user = Self.number(fields[2]), let group = Self.number(fields[3]) else {
                return nil
            }
            return SandboxSpec.User(user: user, group: group)
        }
        return nil
    }
}
